// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DATA_TOKEN_META_HPP
#define DEEPSEEK_DATA_TOKEN_META_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/json.hpp>
#include <deepseek/format/needs_json.hpp>

#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

// What stands beside files of tokens.

namespace deepseek::inline DEEPSEEK_ABI::data {

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

/// What meta.json keeps of tokenizer.json: FNV-1a of 64 bits, in hexadecimal digits.
inline std::string fingerprint(std::string_view text) {
    auto hash = std::uint64_t{0xcbf29ce484222325};
    for (char const letter : text) {
        hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
    }
    std::string digits(16, '0');
    for (std::size_t i = 0; i < digits.size(); ++i) {
        digits[i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15U];
    }
    return digits;
}

namespace detail {

// That the files beside a meta.json are those it was written with: token counts, and the tokenizer where it is named.
inline void expect_same_set(nlohmann::json const& root, std::filesystem::path const& path, TokenWidth width) {
    for (auto const* const part : {"train", "validation"}) {
        auto const at = root.find(part);
        auto const tokens =
            at == root.end() || !at->is_object() ? nullptr : at->value("tokens", nlohmann::json());
        auto const file = path.parent_path() / message(part, ".bin");
        struct stat status {};
        if (!tokens.is_number_unsigned() || ::stat(file.c_str(), &status) != 0) {
            continue;  // other programs write other things
        }
        auto const expected = tokens.get<std::uint64_t>();
        auto const found = static_cast<std::uint64_t>(status.st_size) / static_cast<std::uint64_t>(width);
        expects<FormatError>(expected == found, path.native(), ": was written with ", expected, " tokens in ",
                             part, ".bin, which has ", found, ": these files do not belong together");
    }
    auto const expected = root.find("tokenizer_fingerprint");
    auto const tokenizer = path.parent_path() / "tokenizer.json";
    if (expected != root.end() && format::detail::exists(tokenizer)) {
        expects<FormatError>(*expected == fingerprint(read_small_file(tokenizer, index_t{512} << 20)),
                             path.native(),
                             ": was written with another tokenizer.json: these files do not belong together");
    }
}

}  // namespace detail

/// Reads a meta.json and compares it with the files beside it.
///
/// Errors:    FileError; FormatError naming the file and the entry that is missing or wrong, or the file that is not the
///            one it was written with
inline TokenMeta read_token_meta(std::filesystem::path const& path) {
    auto const root = format::parse_json(read_small_file(path), path.native());
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
    detail::expect_same_set(root, path, meta.width);
    return meta;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::data

#endif
