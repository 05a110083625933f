// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DATA_TOKEN_FILE_HPP
#define DEEPSEEK_DATA_TOKEN_FILE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/io/file.hpp>
#include <deepseek/io/json.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI::data {

static_assert(std::endian::native == std::endian::little, "token files are little-endian and read in place");

/// Bytes of one token in a file.
enum class TokenWidth : std::uint8_t { two = 2, four = 4 };

/// "uint16" or "uint32", as meta.json spells it.
constexpr std::string_view name(TokenWidth width) { return width == TokenWidth::two ? "uint16" : "uint32"; }

/// The narrowest elements that hold every id below `vocabulary`.
constexpr TokenWidth width_for(index_t vocabulary) {
    return vocabulary <= std::numeric_limits<std::uint16_t>::max() + 1 ? TokenWidth::two : TokenWidth::four;
}

/// What the meta.json of a directory of prepared tokens says about them. `prepare` writes more into it, for people.
struct TokenMeta {
    TokenWidth width = TokenWidth::two;
    index_t vocabulary = 0;            ///< of the tokenizer: ids are below it
    std::optional<Token> end_of_text;  ///< the token that ends every document
};

/// Reads a meta.json.
///
/// Errors:    FileError; FormatError naming the file and the entry that is missing or wrong
inline TokenMeta read_token_meta(std::filesystem::path const& path) {
    auto const root = io::parse_json(read_file(path), path.native());
    expects<FormatError>(root.is_object(), path.native(), ": must be an object, found ", root.type_name());
    TokenMeta meta;
    auto const dtype = root.find("dtype");
    expects<FormatError>(dtype != root.end() && (*dtype == "uint16" || *dtype == "uint32"), path.native(),
                         ": \"dtype\" must be \"uint16\" or \"uint32\"",
                         dtype == root.end() ? ", it is missing" : ", found " + dtype->dump());
    meta.width = *dtype == "uint16" ? TokenWidth::two : TokenWidth::four;
    auto const count = [&](char const* key) -> std::optional<index_t> {
        auto const at = root.find(key);
        if (at == root.end() || at->is_null()) {
            return std::nullopt;
        }
        expects<FormatError>(
            at->is_number_unsigned() && at->get<std::uint64_t>() <= std::numeric_limits<Token>::max(),
            path.native(), ": \"", key, "\" must be an integer from 0 to 2^31 - 1");
        return at->get<index_t>();
    };
    auto const vocabulary = count("vocabulary_size");
    expects<FormatError>(vocabulary.value_or(0) > 0, path.native(),
                         ": \"vocabulary_size\" is missing or zero");
    meta.vocabulary = *vocabulary;
    if (auto const end = count("end_of_text")) {
        expects<FormatError>(*end < meta.vocabulary, path.native(), ": \"end_of_text\" is ", *end,
                             ", not below \"vocabulary_size\" ", meta.vocabulary);
        meta.end_of_text = static_cast<Token>(*end);
    }
    return meta;
}

/// Token ids in a headerless little-endian file, as nanoGPT writes them; mapped, not read.
///
/// Every id is checked against the vocabulary whenever it is read, so a file made with another tokenizer is an error
/// and not a wild access into the embedding.
class TokenFile {
public:
    /// The width of the elements, if it is not given, is what a meta.json in the same directory says, otherwise two.
    ///
    /// Errors:    FileError if the file is missing; FormatError if it is empty or its size is no multiple of the width,
    ///            or if the meta.json speaks of a larger vocabulary
    TokenFile(std::filesystem::path const& path, index_t vocabulary, std::optional<TokenWidth> width = {})
        : file_(path), vocabulary_(vocabulary) {
        expects(vocabulary > 0, path.native(), ": a vocabulary of ", vocabulary, " has no tokens");
        if (auto const meta_path = path.parent_path() / "meta.json";
            !width && std::filesystem::exists(meta_path)) {
            auto const meta = read_token_meta(meta_path);
            expects<FormatError>(meta.vocabulary <= vocabulary, meta_path.native(),
                                 ": the tokens have a vocabulary of ", meta.vocabulary, ", expected at most ",
                                 vocabulary);
            width = meta.width;
        }
        width_ = width.value_or(TokenWidth::two);
        auto const bytes = static_cast<index_t>(width_);
        expects<FormatError>(file_.size() > 0, path.native(), ": is empty, expected tokens");
        expects<FormatError>(file_.size() % bytes == 0, path.native(), ": has ", file_.size(),
                             " bytes, not a whole number of ", name(width_), " tokens");
        size_ = file_.size() / bytes;
    }

    std::filesystem::path const& path() const { return file_.path(); }
    TokenWidth width() const { return width_; }
    index_t vocabulary() const { return vocabulary_; }
    /// Number of tokens.
    index_t size() const { return size_; }

    /// Copies the tokens [begin, begin + out.size()).
    ///
    /// Errors:    Error if the range passes the end; FormatError naming the file, the position and the id if an id is
    ///            not below the vocabulary
    void read(index_t begin, std::span<Token> out) const {
        auto const count = static_cast<index_t>(out.size());
        expects(begin >= 0 && begin <= size_ && count <= size_ - begin, path().native(), ": ", count,
                " tokens from ", begin, " on asked for, there are ", size_);
        width_ == TokenWidth::two ? read_as<std::uint16_t>(begin, out) : read_as<std::uint32_t>(begin, out);
    }

private:
    template <class Stored>
    void read_as(index_t begin, std::span<Token> out) const {
        auto const* const from = reinterpret_cast<Stored const*>(file_.bytes().data()) + begin;
        Stored largest = 0;
        for (std::size_t i = 0; i < out.size(); ++i) {
            largest = std::max(largest, from[i]);
            out[i] = static_cast<Token>(from[i]);
        }
        if (static_cast<index_t>(largest) >= vocabulary_) [[unlikely]] {
            auto const at = std::find_if(from, from + out.size(),
                                         [&](Stored id) { return static_cast<index_t>(id) >= vocabulary_; });
            throw FormatError(message(path().native(), ": token ", begin + (at - from), " is ", *at,
                                      ", not below the vocabulary of ", vocabulary_));
        }
    }

    MappedFile file_;
    index_t vocabulary_ = 0;
    TokenWidth width_ = TokenWidth::two;
    index_t size_ = 0;
};

/// The validation tokens of a directory: validation.bin, or val.bin as others name it.
///
/// Errors:    FileError if the directory has neither
inline std::filesystem::path validation_file(std::filesystem::path const& directory) {
    for (auto const* const file : {"validation.bin", "val.bin"}) {
        if (std::filesystem::exists(directory / file)) {
            return directory / file;
        }
    }
    throw FileError(message(directory.native(), ": has neither validation.bin nor val.bin"));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::data

#endif
