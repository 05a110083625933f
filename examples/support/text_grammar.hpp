// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_SUPPORT_TEXT_GRAMMAR_HPP
#define DEEPSEEK_EXAMPLES_SUPPORT_TEXT_GRAMMAR_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/random.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Random text from templates. In a template, [a|b|c] is one of its parts, {name} is what the name stands for, itself a
// template; both nest.

namespace deepseek_examples {

/// Random choices that are a function of a key.
class Dice {
public:
    explicit Dice(deepseek::RandomKey key) : key_(key) {}

    /// Uniform in [0, count).
    std::size_t below(std::size_t count) { return static_cast<std::size_t>(key_.bits(counter_++) % count); }
    template <class T>
    T const& pick(std::span<T const> items) {
        return items[below(items.size())];
    }

private:
    deepseek::RandomKey key_;
    std::uint64_t counter_ = 0;
};

/// Names and what they stand for.
class TextGrammar {
public:
    void set(std::string_view name, std::string_view text) {
        rules_.insert_or_assign(std::string(name), text);
    }

    /// One text of a template.
    ///
    /// Errors:    Error if a bracket is not closed or a name is unknown
    std::string expand(std::string_view text, Dice& dice) const {
        std::string result;
        expand(text, dice, result, 0);
        return result;
    }

private:
    static constexpr int kMaxDepth = 100;  // a rule that contains itself is an error, not a crash

    void expand(std::string_view text, Dice& dice, std::string& result, int depth) const {
        deepseek::expects(depth < kMaxDepth, "the text grammar nests too deeply in '", text, "'");
        for (std::size_t at = 0; at < text.size();) {
            if (text[at] == '[') {
                auto const parts = choices(text, at);
                expand(parts[dice.below(parts.size())], dice, result, depth + 1);
            } else if (text[at] == '{') {
                auto const end = text.find('}', at);
                deepseek::expects(end != text.npos, "the text grammar has an open brace in '", text, "'");
                auto const name = text.substr(at + 1, end - at - 1);
                auto const rule = rules_.find(name);
                deepseek::expects(rule != rules_.end(), "the text grammar has no name '", name, "'");
                expand(rule->second, dice, result, depth + 1);
                at = end + 1;
            } else {
                result += text[at++];
            }
        }
    }

    // The parts of the choice that opens at `at`, which moves behind it.
    static std::vector<std::string_view> choices(std::string_view text, std::size_t& at) {
        std::vector<std::string_view> parts;
        int depth = 0;
        auto begin = at + 1;
        for (auto i = at; i < text.size(); ++i) {
            depth += text[i] == '[' ? 1 : text[i] == ']' ? -1 : 0;
            if ((text[i] == '|' && depth == 1) || depth == 0) {
                parts.push_back(text.substr(begin, i - begin));
                begin = i + 1;
            }
            if (depth == 0) {
                at = i + 1;
                return parts;
            }
        }
        throw deepseek::Error(deepseek::message("the text grammar has an open bracket in '", text, "'"));
    }

    std::map<std::string, std::string, std::less<>> rules_;
};

/// Corrects what templates leave open: "a" before a vowel becomes "an", sentences and speech begin with a capital, and
/// blanks come one at a time and not at the ends of lines.
inline std::string polish_english(std::string_view raw) {
    auto const is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    std::string text;
    for (char const letter : raw) {
        bool const at_line = text.empty() || text.back() == '\n';
        if (letter == ' ' && (at_line || text.back() == ' ')) {
            continue;
        }
        if (letter == '\n' && !text.empty() && text.back() == ' ') {
            text.pop_back();
        }
        text += letter;
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) {
        text.pop_back();
    }

    std::string result;
    bool in_speech = false;
    bool capital = true;  // the next letter begins a sentence
    for (std::size_t i = 0; i < text.size(); ++i) {
        char const letter = text[i];
        if (letter == '"') {
            in_speech = !in_speech;
            // Behind speech that ends in '.', a sentence begins. Behind '!' and '?' "she said" may follow.
            capital = in_speech || (i > 0 && text[i - 1] == '.');
        } else if (letter == '.' || letter == '!' || letter == '?' || letter == '\n') {
            capital = true;
        } else if (is_letter(letter)) {
            auto const upper =
                static_cast<char>(letter >= 'a' && letter <= 'z' ? letter - 'a' + 'A' : letter);
            result += capital ? upper : letter;
            capital = false;
            bool const is_article = (letter == 'a' || letter == 'A') && (i == 0 || !is_letter(text[i - 1])) &&
                                    i + 2 < text.size() && text[i + 1] == ' ' &&
                                    std::string_view("aeiou").find(text[i + 2]) != std::string_view::npos;
            if (is_article) {
                result += 'n';
            }
            continue;
        }
        result += letter;
    }
    return result;
}

}  // namespace deepseek_examples

#endif
