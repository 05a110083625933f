// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_BYTE_LEVEL_HPP
#define DEEPSEEK_TEXT_BYTE_LEVEL_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/text/utf8.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

// Vocabulary files write tokens, which are arbitrary bytes, as visible characters: a byte that is a printable,
// non-blank character of Latin-1 stands for itself, and the other 68, in order, are U+0100, U+0101, … A blank is 'Ġ'.
//
// Source: the function bytes_to_unicode of GPT-2's encoder.py

namespace deepseek::inline DEEPSEEK_ABI::text {

namespace detail {
constexpr bool stands_for_itself(unsigned byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<char32_t, 256> byte_characters() {
    std::array<char32_t, 256> characters{};
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
        characters[byte] = stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++;
    }
    return characters;
}

inline constexpr std::array<char32_t, 256> kByteCharacters = byte_characters();

// Inverse of kByteCharacters, for characters below U+0144; -1 where there is none.
constexpr std::array<int, 0x144> character_bytes() {
    std::array<int, 0x144> bytes{};
    bytes.fill(-1);
    for (unsigned byte = 0; byte < 256; ++byte) {
        bytes[kByteCharacters[byte]] = static_cast<int>(byte);
    }
    return bytes;
}

inline constexpr std::array<int, 0x144> kCharacterBytes = character_bytes();
}  // namespace detail

/// Bytes as vocabulary files write them.
inline std::string to_byte_level(std::string_view bytes) {
    std::string text;
    for (char const byte : bytes) {
        append_utf8(text, detail::kByteCharacters[static_cast<unsigned char>(byte)]);
    }
    return text;
}

/// The bytes that a vocabulary entry stands for; nothing if it holds a character that stands for no byte.
inline std::optional<std::string> from_byte_level(std::string_view text) {
    std::string bytes;
    while (!text.empty()) {
        auto const step = utf8_step(text);
        if (step.kind != Utf8Step::complete) {
            return std::nullopt;
        }
        auto const code = utf8_code_point(text.substr(0, step.length));
        auto const byte = code < detail::kCharacterBytes.size() ? detail::kCharacterBytes[code] : -1;
        if (byte < 0) {
            return std::nullopt;
        }
        bytes += static_cast<char>(byte);
        text.remove_prefix(step.length);
    }
    return bytes;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
