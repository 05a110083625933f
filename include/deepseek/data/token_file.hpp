// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DATA_TOKEN_FILE_HPP
#define DEEPSEEK_DATA_TOKEN_FILE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/data/token_meta.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/random_access_file.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

namespace deepseek::inline DEEPSEEK_ABI::data {

static_assert(std::endian::native == std::endian::little,
              "token files are little-endian and read as they are");

/// Token ids in a headerless little-endian file, as nanoGPT writes them; read when asked for.
///
/// Every id is checked against the vocabulary whenever it is read, so a file made with another tokenizer is an error
/// and not a wild access into the embedding.
class TokenFile {
public:
    /// The width of the elements, if it is not given, is what a meta.json in the same directory says, otherwise two.
    ///
    /// Errors:    FileError if the file is missing; FormatError if it is empty or its size is no multiple of the width,
    ///            or if the meta.json speaks of a larger vocabulary, or of other files
    TokenFile(std::filesystem::path const& path, index_t vocabulary, std::optional<TokenWidth> width = {})
        : file_(format::existing_directory(path.parent_path()) / path.filename()), vocabulary_(vocabulary) {
        expects(vocabulary > 0, path.native(), ": a vocabulary of ", vocabulary, " has no tokens");
        if (auto const meta_path = file_.path().parent_path() / "meta.json";
            !width && format::detail::exists(meta_path)) {
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
    /// Errors:    Error if the range passes the end; FileError if the file was changed since it was opened; FormatError
    ///            naming the file, the position and the id if an id is not below the vocabulary
    void read(index_t begin, std::span<Token> out) const {
        auto const count = static_cast<index_t>(out.size());
        expects(begin >= 0 && begin <= size_ && count <= size_ - begin, path().native(), ": ", count,
                " tokens from ", begin, " on asked for, there are ", size_);
        width_ == TokenWidth::two ? read_as<std::uint16_t>(begin, out) : read_as<std::uint32_t>(begin, out);
    }

private:
    template <class Stored>
    void read_as(index_t begin, std::span<Token> out) const {
        std::array<Stored, 4096> chunk;
        while (!out.empty()) {
            auto const ids = std::span(chunk).first(std::min(chunk.size(), out.size()));
            file_.read(begin * static_cast<index_t>(sizeof(Stored)), std::as_writable_bytes(ids));
            Stored largest = 0;
            for (std::size_t i = 0; i < ids.size(); ++i) {
                largest = std::max(largest, ids[i]);
                out[i] = static_cast<Token>(ids[i]);
            }
            if (static_cast<index_t>(largest) >= vocabulary_) [[unlikely]] {
                auto const at = std::find_if(ids.begin(), ids.end(), [&](Stored id) {
                    return static_cast<index_t>(id) >= vocabulary_;
                });
                throw FormatError(message(path().native(), ": token ", begin + (at - ids.begin()), " is ",
                                          *at, ", not below the vocabulary of ", vocabulary_));
            }
            begin += static_cast<index_t>(ids.size());
            out = out.subspan(ids.size());
        }
    }

    RandomAccessFile file_;
    index_t vocabulary_ = 0;
    TokenWidth width_ = TokenWidth::two;
    index_t size_ = 0;
};

/// The validation tokens of a directory: validation.bin, or val.bin as others name it.
///
/// Errors:    FileError if the directory has neither
inline std::filesystem::path validation_file(std::filesystem::path const& directory) {
    auto const found = format::existing_directory(directory);
    for (auto const* const file : {"validation.bin", "val.bin"}) {
        if (format::detail::exists(found / file)) {
            return found / file;
        }
    }
    throw FileError(message(directory.native(), ": has neither validation.bin nor val.bin"));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::data

#endif
