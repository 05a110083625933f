// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_VOCAB_MERGES_HPP
#define DEEPSEEK_TEXT_VOCAB_MERGES_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/json.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/needs_json.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/tokenizer_data.hpp>
#include <deepseek/text/tokenizer_json.hpp>
#include <deepseek/text/utf8.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::text {

namespace detail {
inline constexpr index_t kVocabularyBytes = index_t{512} << 20;  // ten times the largest published
}

/// Reads the pair of files that GPT-2 was published with: a JSON object of tokens and ids (encoder.json, vocab.json),
/// and a text of merges, one "left right" per line behind an optional "#version" line (vocab.bpe, merges.txt). Words
/// are cut by GPT-2's pattern; "<|endoftext|>", where the vocabulary has it, is the special token that ends a document.
///
/// Errors:    FileError, FormatError naming the file, the line or token, and what is wrong
inline Tokenizer load_vocab_merges(std::filesystem::path const& vocabulary_path,
                                   std::filesystem::path const& merges_path) {
    auto vocabulary = format::parse_json(read_small_file(vocabulary_path, detail::kVocabularyBytes),
                                         vocabulary_path.native());
    // The two files are what a tokenizer.json holds as its model, so they are read as one.
    nlohmann::json merges = nlohmann::json::array();
    auto const text = read_small_file(merges_path, detail::kVocabularyBytes);
    expects_utf8(text, merges_path.native());
    std::size_t number = 0;
    for (std::size_t at = 0; at < text.size(); ++number) {
        auto const end = std::min(text.find('\n', at), text.size());
        auto line = std::string_view(text).substr(at, end - at);
        at = end + 1;
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        if (line.empty() || (number == 0 && line.starts_with("#version"))) {
            continue;
        }
        auto const blank = line.find(' ');
        expects<FormatError>(blank != line.npos && line.find(' ', blank + 1) == line.npos,
                             merges_path.native(), ": line ", number + 1, " is ",
                             format::detail::in_quotes(line), ", expected two parts with one blank between");
        merges.push_back(line);
    }
    nlohmann::json added = nlohmann::json::array();
    if (vocabulary.is_object() && vocabulary.contains(kEndOfText)) {
        added.push_back(
            {{"id", vocabulary[std::string(kEndOfText)]}, {"content", kEndOfText}, {"special", true}});
    }
    nlohmann::json const whole = {
        {"added_tokens", std::move(added)},
        {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
        {"model", {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(merges)}}}};
    auto const where = message(vocabulary_path.native(), " and ", merges_path.native());
    auto data = detail::TokenizerJsonReader(where).read(whole);
    data.end_of_text = detail::guess_end_of_text(data);
    return Tokenizer(std::move(data));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
