// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_TIKTOKEN_HPP
#define DEEPSEEK_TEXT_TIKTOKEN_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/text/byte_level.hpp>
#include <deepseek/text/merge_table.hpp>
#include <deepseek/text/pre_tokenizer.hpp>
#include <deepseek/text/tokenizer_data.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

// Rank files of tiktoken: one token per line, its bytes in base64, a blank, and its id, which is also the order in which
// tokens are merged: of all neighbours that joined are a token, those go first whose token has the lowest id.

namespace deepseek::inline DEEPSEEK_ABI::text {

/// What a rank file does not say.
struct TiktokenEncoding {
    std::string_view name;     ///< of the file, without ".tiktoken"
    std::string_view pattern;  ///< cuts text into words
    std::vector<AddedToken> special;
};

/// The encodings that are known by name.
///
/// Source:    openai_public.py of github.com/openai/tiktoken 0.14; patterns without possessive quantifiers, and the end of
///            the text as what has nothing behind it, which matches the same in every engine
inline std::vector<TiktokenEncoding> tiktoken_encodings() {
    constexpr std::string_view cl100k =
        R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
        R"(|\s+(?!\s|\S)|\s*[\r\n]|\s+(?!\S)|\s)";
    constexpr std::string_view o200k =
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
        R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
        R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    std::string const end(kEndOfText);
    return {{"gpt2", kGpt2Pattern, {{end, 50256}}},
            {"r50k_base", kGpt2Pattern, {{end, 50256}}},
            {"p50k_base", kGpt2Pattern, {{end, 50256}}},
            {"cl100k_base",
             cl100k,
             {{end, 100257},
              {"<|fim_prefix|>", 100258},
              {"<|fim_middle|>", 100259},
              {"<|fim_suffix|>", 100260},
              {"<|endofprompt|>", 100276}}},
            {"o200k_base", o200k, {{end, 199999}, {"<|endofprompt|>", 200018}}}};
}

namespace detail {

// The bytes of a base64 text with padding; nothing if it is none.
inline std::optional<std::string> from_base64(std::string_view text) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (text.empty() || text.size() % 4 != 0) {
        return std::nullopt;
    }
    auto const padding = text.ends_with("==") ? 2U : text.ends_with('=') ? 1U : 0U;
    text.remove_suffix(padding);
    std::string bytes;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (char const letter : text) {
        auto const digit = digits.find(letter);
        if (digit == digits.npos) {
            return std::nullopt;
        }
        bits = bits << 6U | static_cast<std::uint32_t>(digit);
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes += static_cast<char>(bits >> count & 0xFFU);
        }
    }
    return bytes;
}

// The pairs that merge, in order. Where the bytes of a token are two tokens once everything of lower rank is merged, these
// are the only two that can ever meet; otherwise, as learning leaves no token, every cut into two counts.
inline std::vector<std::pair<Token, Token>> merges_of_ranks(std::vector<std::string> const& tokens) {
    std::unordered_map<std::string_view, Token> ids;
    ids.reserve(tokens.size());
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        if (!tokens[id].empty()) {
            ids.emplace(tokens[id], static_cast<Token>(id));
        }
    }
    std::vector<std::pair<Token, Token>> merges;
    auto const room = 2 * tokens.size();
    MergeTable table(room);
    Merger merger;
    std::vector<Token> parts;
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        std::string_view const bytes = tokens[id];
        if (bytes.size() < 2) {
            continue;
        }
        parts.clear();
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            parts.push_back(ids.at(bytes.substr(i, 1)));
        }
        merger.merge(table, parts);
        auto const add = [&](Token left, Token right) {
            merges.emplace_back(left, right);
            expects<FormatError>(table.size() < room, "too many tokens that are not made of two others");
            table.add(left, right, {static_cast<std::uint32_t>(id), static_cast<Token>(id)});
        };
        if (parts.size() == 2) {
            add(parts[0], parts[1]);
            continue;
        }
        for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
            auto const left = ids.find(bytes.substr(0, cut));
            auto const right = ids.find(bytes.substr(cut));
            if (left != ids.end() && right != ids.end()) {
                add(left->second, right->second);
            }
        }
    }
    return merges;
}

}  // namespace detail

/// Reads the text of a rank file. `where` stands for its name in messages.
///
/// Errors:    FormatError naming the line that is no token and rank, or the byte that has no token
inline TokenizerData parse_tiktoken(std::string_view text, std::string_view where,
                                    TiktokenEncoding const& encoding) {
    std::vector<std::string> tokens;
    constexpr std::size_t kLongestToken = 1024;  // eight times the longest published
    // Special tokens stand behind these, with few gaps; an id far away is a mistake, and would cost memory.
    auto const most = std::count(text.begin(), text.end(), '\n') + (index_t{1} << 16U);
    index_t number = 0;
    while (!text.empty()) {
        auto const end = std::min(text.find('\n'), text.size());
        auto line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        ++number;
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        if (line.empty()) {
            continue;
        }
        auto const blank = std::min(line.find(' '), line.size());
        auto const bytes = detail::from_base64(line.substr(0, blank));
        auto const rank = line.substr(std::min(blank + 1, line.size()));
        index_t id = -1;
        auto const [stop, error] = std::from_chars(rank.data(), rank.data() + rank.size(), id);
        bool const is_number = error == std::errc{} && stop == rank.data() + rank.size();
        if (!bytes || bytes->empty() || bytes->size() > kLongestToken || !is_number || id < 0 || id > most) {
            throw FormatError(message(where, ": line ", number, " is ", format::detail::in_quotes(line),
                                      ", expected base64 of at most ", kLongestToken,
                                      " bytes, a blank and a rank of at most ", most));
        }
        tokens.resize(std::max(tokens.size(), static_cast<std::size_t>(id) + 1));
        auto& token = tokens[static_cast<std::size_t>(id)];
        expects<FormatError>(token.empty(), where, ": line ", number, ": rank ", id, " was given before");
        token = *bytes;
    }
    std::array<bool, 256> known{};
    TokenizerData data;
    for (auto const& token : tokens) {
        if (token.size() == 1) {
            known[static_cast<unsigned char>(token.front())] = true;
        }
        data.vocabulary.push_back(to_byte_level(token));
    }
    auto const missing = std::find(known.begin(), known.end(), false);
    expects<FormatError>(missing == known.end(), where, ": byte ", missing - known.begin(), " has no token");
    data.merges = detail::merges_of_ranks(tokens);
    data.ignore_merges = true;  // a whole word that is a token is looked up
    data.rules.push_back({SplitRule::Kind::regex, std::string(encoding.pattern)});
    data.added = encoding.special;
    for (auto const& token : data.added) {
        data.end_of_text = token.content == kEndOfText ? token.id : data.end_of_text;
    }
    return data;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
