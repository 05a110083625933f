// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_UTF8_HPP
#define DEEPSEEK_TEXT_UTF8_HPP

#include <deepseek/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI::text {

/// What stands at the beginning of some bytes.
struct Utf8Step {
    enum Kind : std::uint8_t {
        complete,    ///< one whole character of `length` bytes
        incomplete,  ///< the first `length` bytes of a character, and nothing after them
        invalid      ///< `length` bytes that belong to no character, whatever follows
    };
    Kind kind = complete;
    std::size_t length = 0;
};

/// Looks at the first character of `bytes`, which must not be empty. Overlong forms, surrogates and numbers above
/// U+10FFFF are invalid. An invalid step covers the longest beginning of a character ("maximal subpart"), so
/// replacing each by U+FFFD gives what other decoders give.
///
/// Source:    The Unicode Standard, table 3-7 and section 3.9 on U+FFFD substitution
constexpr Utf8Step utf8_step(std::string_view bytes) {
    auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    unsigned char const lead = byte(0);
    if (lead < 0x80) {
        return {Utf8Step::complete, 1};
    }
    if (lead < 0xC2 || lead > 0xF4) {
        return {Utf8Step::invalid, 1};
    }
    std::size_t const length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    // Only the second byte has bounds that depend on the first: they exclude overlong forms, surrogates and numbers
    // that are too large.
    unsigned char const low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char const high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (std::size_t i = 1; i < length; ++i) {
        if (i == bytes.size()) {
            return {Utf8Step::incomplete, i};
        }
        if (byte(i) < (i == 1 ? low : 0x80) || byte(i) > (i == 1 ? high : 0xBF)) {
            return {Utf8Step::invalid, i};
        }
    }
    return {Utf8Step::complete, length};
}

/// Length of the longest valid beginning of `bytes`: their size if all of them are UTF-8, otherwise the offset of the
/// first byte that is not.
inline std::size_t valid_utf8_prefix(std::string_view bytes) {
    std::size_t at = 0;
    while (at < bytes.size()) {
        // Eight ASCII characters at once, as most text consists of them.
        std::uint64_t word = 0;
        while (bytes.size() - at >= sizeof word) {
            std::memcpy(&word, bytes.data() + at, sizeof word);
            if ((word & 0x8080'8080'8080'8080U) != 0) {
                break;
            }
            at += sizeof word;
        }
        if (at == bytes.size()) {
            break;
        }
        auto const step = utf8_step(bytes.substr(at));
        if (step.kind != Utf8Step::complete) {
            return at;
        }
        at += step.length;
    }
    return at;
}

/// Throws unless all bytes are UTF-8.
///
/// Errors:    FormatError naming `where` and the offset and value of the first wrong byte
inline void expects_utf8(std::string_view bytes, std::string_view where) {
    auto const at = valid_utf8_prefix(bytes);
    if (at == bytes.size()) [[likely]] {
        return;
    }
    constexpr char digits[] = "0123456789abcdef";
    auto const byte = static_cast<unsigned char>(bytes[at]);
    char const hexadecimal[] = {'0', 'x', digits[byte >> 4U], digits[byte & 15U], '\0'};
    throw FormatError(message(where, ": not UTF-8 at byte ", at, " (", std::string_view(hexadecimal), ")"));
}

/// Appends a code point (below U+110000) as UTF-8.
constexpr void append_utf8(std::string& text, char32_t code) {
    auto const tail = [&](unsigned shift) {
        text += static_cast<char>(0x80U | ((static_cast<std::uint32_t>(code) >> shift) & 0x3FU));
    };
    if (code < 0x80) {
        text += static_cast<char>(code);
    } else if (code < 0x800) {
        text += static_cast<char>(0xC0U | (code >> 6U));
        tail(0);
    } else if (code < 0x10000) {
        text += static_cast<char>(0xE0U | (code >> 12U));
        tail(6);
        tail(0);
    } else {
        text += static_cast<char>(0xF0U | (code >> 18U));
        tail(12);
        tail(6);
        tail(0);
    }
}

/// The code point of one valid character.
constexpr char32_t utf8_code_point(std::string_view character) {
    auto const byte = [&](std::size_t i) {
        return static_cast<std::uint32_t>(static_cast<unsigned char>(character[i]));
    };
    std::uint32_t const masks[] = {0x7F, 0x1F, 0x0F, 0x07};
    std::uint32_t code = byte(0) & masks[character.size() - 1];
    for (std::size_t i = 1; i < character.size(); ++i) {
        code = (code << 6U) | (byte(i) & 0x3FU);
    }
    return code;
}

/// Turns bytes that arrive in pieces into valid UTF-8: a character appears once all of its bytes have arrived, and
/// bytes that can never become a character appear as U+FFFD. For printing tokens as they are generated, since a token
/// may end inside a character.
class Utf8Stream {
public:
    /// The text that these bytes complete.
    std::string push(std::string_view bytes) {
        pending_ += bytes;
        std::string complete;
        std::size_t at = 0;
        while (at < pending_.size()) {
            auto const step = utf8_step(std::string_view(pending_).substr(at));
            if (step.kind == Utf8Step::incomplete) {
                break;
            }
            if (step.kind == Utf8Step::complete) {
                complete.append(pending_, at, step.length);
            } else {
                complete += kReplacement;
            }
            at += step.length;
        }
        pending_.erase(0, at);
        return complete;
    }

    /// What is left when no more bytes will come: U+FFFD for an unfinished character, otherwise nothing.
    std::string finish() {
        std::string rest(pending_.empty() ? "" : kReplacement);
        pending_.clear();
        return rest;
    }

private:
    static constexpr char const* kReplacement = "\xEF\xBF\xBD";

    std::string pending_;  // the beginning of one character: at most three bytes between calls
};

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
