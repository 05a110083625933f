// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_LOAD_HPP
#define DEEPSEEK_TEXT_LOAD_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/directory_calls.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/json.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/text/tiktoken.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/tokenizer_json.hpp>
#include <deepseek/text/vocab_merges.hpp>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

// Tokenizers from files and to files.

namespace deepseek::inline DEEPSEEK_ABI::text {

namespace detail {
// The end-of-text token that a tokenizer_config.json names: a string, or an object with its content.
inline void apply_tokenizer_config(TokenizerData& data, std::filesystem::path const& path) {
    auto const config = format::parse_json(read_small_file(path), path.native());
    expects<FormatError>(config.is_object(), path.native(), ": must be an object, found ",
                         config.type_name());
    auto const at = config.find("eos_token");
    if (at == config.end() || at->is_null()) {
        return;
    }
    auto const& value = at->is_object() && at->contains("content") ? (*at)["content"] : *at;
    expects<FormatError>(value.is_string(), path.native(),
                         ": \"eos_token\" must be a string or have one as content");
    auto const& name = value.get_ref<std::string const&>();
    auto const token = std::find_if(data.added.begin(), data.added.end(),
                                    [&](auto const& added) { return added.content == name; });
    expects<FormatError>(token != data.added.end(), path.native(), ": \"eos_token\" is ",
                         format::detail::in_quotes(name),
                         ", which is not an added token of the tokenizer beside it");
    data.end_of_text = token->id;
}
}  // namespace detail

/// Reads a rank file of tiktoken, whose name says which encoding it is.
///
/// Errors:    FileError, FormatError naming the file and what is wrong with it, or that it has no known name
inline Tokenizer load_tiktoken(std::filesystem::path const& path) {
    auto const encodings = tiktoken_encodings();
    auto const known = std::find_if(encodings.begin(), encodings.end(),
                                    [&](auto const& encoding) { return path.stem() == encoding.name; });
    if (known == encodings.end()) {
        std::string names;
        for (auto const& encoding : encodings) {
            names += (names.empty() ? "" : ", ") + std::string(encoding.name);
        }
        throw FormatError(message(
            path.native(), ": a rank file does not say how text is cut into words, and its name is none of ",
            names, "; give parse_tiktoken its pattern, or use a tokenizer.json"));
    }
    return Tokenizer(parse_tiktoken(read_small_file(path, detail::kVocabularyBytes), path.native(), *known));
}

/// Reads a tokenizer: a tokenizer.json, a rank file of tiktoken (*.tiktoken), or a directory with one (and perhaps a tokenizer_config.json, which names the
/// end-of-text token), or a directory with GPT-2's pair of files, vocab.json and merges.txt or encoder.json and
/// vocab.bpe.
///
/// Errors:    FileError, FormatError naming the file and what is wrong with it
inline Tokenizer load_tokenizer(std::filesystem::path const& path) {
    if (path.extension() == ".tiktoken") {
        return load_tiktoken(path);
    }
    if (!format::detail::is_directory(path)) {
        return Tokenizer(
            parse_tokenizer_json(read_small_file(path, detail::kVocabularyBytes), path.native()));
    }
    if (auto const file = path / "tokenizer.json"; format::detail::exists(file)) {
        auto data = parse_tokenizer_json(read_small_file(file, detail::kVocabularyBytes), file.native());
        if (auto const config = path / "tokenizer_config.json"; format::detail::exists(config)) {
            detail::apply_tokenizer_config(data, config);
        }
        return Tokenizer(std::move(data));
    }
    for (auto const& [vocabulary, merges] :
         {std::pair("vocab.json", "merges.txt"), {"encoder.json", "vocab.bpe"}}) {
        if (format::detail::exists(path / vocabulary) && format::detail::exists(path / merges)) {
            return load_vocab_merges(path / vocabulary, path / merges);
        }
    }
    throw FileError(message(path.native(),
                            ": holds no tokenizer: expected tokenizer.json, or vocab.json and ",
                            "merges.txt, or encoder.json and vocab.bpe"));
}

/// Writes a tokenizer.json, whole or not at all.
inline void save_tokenizer(Tokenizer const& tokenizer, std::filesystem::path const& path) {
    write_file_atomically(path, to_tokenizer_json(tokenizer.data()));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
