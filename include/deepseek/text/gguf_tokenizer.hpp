// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_GGUF_TOKENIZER_HPP
#define DEEPSEEK_TEXT_GGUF_TOKENIZER_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/gguf_writer.hpp>
#include <deepseek/text/pre_tokenizer.hpp>
#include <deepseek/text/tokenizer_data.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::text {

namespace detail {

// How DeepSeek-V3 cuts text into words.
inline constexpr std::array<std::string_view, 3> kDeepSeekV3Patterns = {
    R"(\p{N}{1,3})", "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
    "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"};

// What llama.cpp, which has a list of them, calls a way to cut text; nothing if it is none of those known here.
inline std::optional<std::string_view> llama_pre_tokenizer(TokenizerData const& data) {
    auto const cuts_by = [&](std::span<std::string_view const> patterns) {
        return std::equal(data.rules.begin(), data.rules.end(), patterns.begin(), patterns.end(),
                          [](SplitRule const& rule, std::string_view pattern) {
                              return rule == SplitRule{.pattern = std::string(pattern)};
                          });
    };
    if (data.merges.empty() || cuts_by(std::array{kGpt2Pattern})) {
        return "gpt-2";  // without merges, every way to cut gives bytes
    }
    return cuts_by(kDeepSeekV3Patterns) ? std::optional<std::string_view>("deepseek-v3") : std::nullopt;
}

}  // namespace detail

/// The keys of a tokenizer in a GGUF file: tokens of all `vocabulary` ids, merges, the name of the pre-tokenizer, and the
/// tokens that begin and end texts. llama.cpp puts the former before every prompt, as `generate` does.
///
/// Errors:    FormatError if llama.cpp would encode differently: a pre-tokenizer that it is not known to have, a prefix
///            space, words that are tokens without merges; if the tokenizer has more tokens than the vocabulary; if no
///            token ends a text, because llama.cpp then takes token 11 for it
inline void add_tokenizer_metadata(format::GgufMetadata& metadata, TokenizerData const& data,
                                   index_t vocabulary, std::optional<index_t> begin,
                                   std::span<index_t const> ends) {
    auto const pre = detail::llama_pre_tokenizer(data);
    expects<FormatError>(pre.has_value(),
                         "GGUF: the tokenizer's pre_tokenizer has no name in llama.cpp that is known "
                         "here; known are GPT-2's and DeepSeek-V3's");
    expects<FormatError>(!data.add_prefix_space,
                         "GGUF: llama.cpp puts no space before a text, the tokenizer does");
    expects<FormatError>(!data.ignore_merges,
                         "GGUF: llama.cpp merges all words, the tokenizer has ignore_merges");
    expects<FormatError>(!ends.empty(), "GGUF: no token ends a text; llama.cpp would take token 11 for it");

    enum Type : std::int32_t { normal = 1, control = 3, user_defined = 4, unused = 5 };
    std::vector<std::string> tokens(static_cast<std::size_t>(vocabulary));
    std::vector<std::int32_t> types(tokens.size(), unused);
    auto const put = [&](index_t id, std::string_view text, Type type) {
        expects<FormatError>(id < vocabulary, "GGUF: token ", id,
                             " of the tokenizer is outside the vocabulary of ", vocabulary);
        tokens[static_cast<std::size_t>(id)] = text;
        types[static_cast<std::size_t>(id)] = type;
    };
    for (std::size_t id = 0; id < data.vocabulary.size(); ++id) {
        if (!data.vocabulary[id].empty()) {
            put(static_cast<index_t>(id), data.vocabulary[id], normal);
        }
    }
    for (auto const& token : data.added) {
        put(token.id, token.content, token.special ? control : user_defined);
    }
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        if (types[id] == unused) {
            tokens[id] = message("[PAD", id, "]");
        }
    }
    std::vector<std::string> merges;
    for (auto const& [left, right] : data.merges) {
        merges.push_back(message(data.vocabulary[static_cast<std::size_t>(left)], " ",
                                 data.vocabulary[static_cast<std::size_t>(right)]));
    }
    metadata.add_string("tokenizer.ggml.model", "gpt2");
    metadata.add_string("tokenizer.ggml.pre", *pre);
    metadata.add_strings("tokenizer.ggml.tokens", tokens);
    metadata.add_i32s("tokenizer.ggml.token_type", types);
    metadata.add_strings("tokenizer.ggml.merges", merges);
    metadata.add_u32("tokenizer.ggml.eos_token_id", ends[0]);
    if (ends.size() > 1) {
        metadata.add_u32("tokenizer.ggml.eot_token_id", ends[1]);
    }
    metadata.add_u32("tokenizer.ggml.bos_token_id", begin.value_or(ends[0]));
    metadata.add_bool("tokenizer.ggml.add_bos_token", begin.has_value());
    metadata.add_bool("tokenizer.ggml.add_eos_token", false);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
