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

namespace detail {
// What the meta.json of a directory says of files in it, where there is one.
inline std::optional<TokenWidth> width_beside(std::filesystem::path const& directory, index_t vocabulary) {
    auto const path = directory / "meta.json";
    if (!format::detail::exists(path)) {
        return std::nullopt;
    }
    auto const meta = read_token_meta(path);
    expects<FormatError>(meta.vocabulary <= vocabulary, path.native(), ": the tokens have a vocabulary of ",
                         meta.vocabulary, ", expected at most ", vocabulary);
    return meta.width;
}
}  // namespace detail

static_assert(std::endian::native == std::endian::little,
              "token files are little-endian and read as they are");

/// Token ids in a little-endian file, read when asked for: without a header, as nanoGPT writes them, or behind that of
/// llm.c, 256 int32 of which the first three are 20240520, 1 and the number of uint16 tokens, or 20240801, 7 and that of
/// uint32.
///
/// Every id is checked against the vocabulary whenever it is read, so a file made with another tokenizer is an error
/// and not a wild access into the embedding.
class TokenFile {
public:
    /// The width of the elements is what the header says. Without one it is the width given, or what a meta.json in the
    /// same directory says, otherwise two.
    ///
    /// Errors:    FileError if the file is missing; FormatError if it is empty, if its size is not what header or width
    ///            say, if it is read as uint16 only by default and must be uint32, or if the meta.json speaks of a larger
    ///            vocabulary, or of other files
    TokenFile(std::filesystem::path const& path, index_t vocabulary, std::optional<TokenWidth> width = {})
        : file_(format::existing_directory(path.parent_path()) / path.filename()), vocabulary_(vocabulary) {
        expects(vocabulary > 0, path.native(), ": a vocabulary of ", vocabulary, " has no tokens");
        if (!width) {
            width = detail::width_beside(file_.path().parent_path(), vocabulary);
        }
        expects<FormatError>(file_.size() > 0, path.native(), ": is empty, expected tokens");
        if (read_header(width)) {
            return;
        }
        width_ = width.value_or(TokenWidth::two);
        auto const bytes = static_cast<index_t>(width_);
        expects<FormatError>(file_.size() % bytes == 0, path.native(), ": has ", file_.size(),
                             " bytes, not a whole number of ", name(width_), " tokens");
        size_ = file_.size() / bytes;
        expects<FormatError>(width || !every_other_is_zero(), path.native(),
                             ": read as uint16, every other token is 0, so it must be uint32; say so by a "
                             "meta.json beside it, or by train --data-dtype uint32");
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
    static constexpr index_t kHeaderBytes = 1024;

    // Whether the file begins with llm.c's header, which then says where the tokens are.
    bool read_header(std::optional<TokenWidth> width) {
        std::array<std::int32_t, 3> header{};  // magic number, version, tokens
        if (file_.size() < static_cast<index_t>(sizeof header)) {
            return false;
        }
        file_.read(0, std::as_writable_bytes(std::span(header)));
        auto const [magic, version, tokens] = header;
        if (magic != 20240520 && magic != 20240801) {
            return false;
        }
        width_ = magic == 20240520 ? TokenWidth::two : TokenWidth::four;
        auto const expected = width_ == TokenWidth::two ? 1 : 7;
        expects<FormatError>(version == expected, path().native(), ": has the header of llm.c, version ",
                             version, " of ", name(width_), " tokens, expected version ", expected);
        auto const bytes = kHeaderBytes + index_t{tokens} * static_cast<index_t>(width_);
        expects<FormatError>(tokens > 0 && file_.size() == bytes, path().native(),
                             ": has the header of llm.c, ", tokens, " ", name(width_), " tokens, which take ",
                             bytes, " bytes, and has ", file_.size());
        expects<FormatError>(!width || *width == width_, path().native(), ": its header says ", name(width_),
                             ", expected ", name(width.value_or(width_)));
        offset_ = kHeaderBytes;
        size_ = tokens;
        return true;
    }

    // As the upper halves of uint32 are that hold ids below 2^16. Few tokens may be so by chance.
    bool every_other_is_zero() const {
        std::array<std::uint16_t, 1024> ids{};
        auto const beginning =
            std::span(ids).first(std::min<std::size_t>(ids.size(), static_cast<std::size_t>(size_)));
        file_.read(0, std::as_writable_bytes(beginning));
        bool lower = false;
        bool upper = false;
        for (std::size_t i = 0; i < beginning.size(); ++i) {
            (i % 2 == 0 ? lower : upper) |= beginning[i] != 0;
        }
        return beginning.size() >= 64 && lower && !upper;
    }

    template <class Stored>
    void read_as(index_t begin, std::span<Token> out) const {
        std::array<Stored, 4096> chunk;
        while (!out.empty()) {
            auto const ids = std::span(chunk).first(std::min(chunk.size(), out.size()));
            file_.read(offset_ + begin * static_cast<index_t>(sizeof(Stored)), std::as_writable_bytes(ids));
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
    index_t offset_ = 0;  // of the first token, in bytes
    index_t size_ = 0;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::data

#endif
