// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_PRE_TOKENIZER_HPP
#define DEEPSEEK_TEXT_PRE_TOKENIZER_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/text/pattern.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::text {

/// How GPT-2 cuts text into words: contractions, words and numbers with the blank before them, signs, blanks.
///
/// Source:    encoder.py of github.com/openai/gpt-2
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// One step of cutting text into the words inside which byte pairs are merged. Plain data, as files hold it.
struct SplitRule {
    enum class Kind : std::uint8_t {
        regex,    ///< `pattern` is a regular expression
        literal,  ///< `pattern` matches itself
    };
    enum class Behavior : std::uint8_t {
        isolated,  ///< matches and what lies between them become words
        removed    ///< matches vanish, what lies between them become words
    };
    Kind kind = Kind::regex;
    std::string pattern;
    RegexFlavor flavor = RegexFlavor::oniguruma;
    Behavior behavior = Behavior::isolated;
    bool invert = false;  ///< exchange the roles of matches and of what lies between them

    friend bool operator==(SplitRule const&, SplitRule const&) = default;
};

/// Cuts text into words by rules that each cut further what the rule before left.
class PreTokenizer {
    struct Step {
        Pattern pattern;
        SplitRule::Behavior behavior;
        bool invert;
    };

public:
    /// No more rules than this; published tokenizers have at most six.
    static constexpr std::size_t kMaxRules = 32;

    PreTokenizer() = default;
    explicit PreTokenizer(std::vector<SplitRule> const& rules) {
        expects<FormatError>(rules.size() <= kMaxRules, "pre_tokenizer: ", rules.size(), " rules, at most ",
                             kMaxRules, " are supported");
        for (auto const& rule : rules) {
            steps_.push_back({rule.kind == SplitRule::Kind::literal
                                  ? Pattern::literal(rule.pattern)
                                  : Pattern::regex(rule.pattern, rule.flavor),
                              rule.behavior, rule.invert});
        }
    }

    /// What one thread needs to cut.
    class Splitter {
    public:
        explicit Splitter(PreTokenizer const& rules) : steps_(&rules.steps_) {
            for (auto const& step : *steps_) {
                matchers_.emplace_back(step.pattern);
            }
        }

        /// Calls emit(std::string_view) for every word of a valid UTF-8 text, in order. Words are never empty.
        template <class Emit>
        void split(std::string_view text, Emit&& emit) {
            if (!text.empty()) {
                split_by(0, text, emit);
            }
        }

    private:
        // Depth of recursion: the number of rules. Each rule sees its piece as a whole text, so that look-around ends
        // at the piece.
        template <class Emit>
        void split_by(std::size_t index, std::string_view text, Emit& emit) {
            if (index == matchers_.size()) {
                emit(text);
                return;
            }
            auto const& step = (*steps_)[index];
            bool const keeps_matches = step.behavior == SplitRule::Behavior::isolated || step.invert;
            bool const keeps_gaps = step.behavior == SplitRule::Behavior::isolated || !step.invert;
            std::size_t at = 0;
            while (at < text.size()) {
                auto const match = matchers_[index].find(text, at);
                auto const gap_end = match ? match->begin : text.size();
                if (keeps_gaps && gap_end > at) {
                    split_by(index + 1, text.substr(at, gap_end - at), emit);
                }
                if (!match) {
                    return;
                }
                if (keeps_matches && match->end > match->begin) {
                    split_by(index + 1, text.substr(match->begin, match->end - match->begin), emit);
                }
                at = match->end;
            }
        }

        std::vector<Step> const* steps_;
        std::vector<Pattern::Matcher> matchers_;
    };

private:
    std::vector<Step> steps_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
