// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_JSON_WRITER_HPP
#define DEEPSEEK_FORMAT_JSON_WRITER_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// JSON text from values. Programs that only write files need not compile a JSON library for it.

namespace deepseek::inline DEEPSEEK_ABI::format::detail {

// One key of an object with a fixed set of them.
struct JsonField {
    std::string_view key;
    std::optional<index_t> null{};  // what null means, where it means something
    bool essential = false;         // the object makes no sense without it
};

// Bytes of the UTF-8 character that `bytes` begins with; 0 if it begins with none.
constexpr std::size_t utf8_length(std::string_view bytes) {
    auto const byte = [&](std::size_t i) {
        return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U;
    };
    auto const first = byte(0);
    std::size_t const length = first < 0x80   ? 1
                               : first < 0xC2 ? 0
                               : first < 0xE0 ? 2
                               : first < 0xF0 ? 3
                               : first < 0xF5 ? 4
                                              : 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0U) != 0x80U) {
            return 0;
        }
    }
    bool const overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
    bool const surrogate = first == 0xED && byte(1) > 0x9F;
    bool const beyond = first == 0xF4 && byte(1) > 0x8F;
    return overlong || surrogate || beyond ? 0 : length;
}

// A string in JSON: what must be escaped is, and nothing else, as the safetensors libraries do it. Bytes that are not
// UTF-8 become U+FFFD, or an error where `what` names the string.
inline std::string json_text(std::string_view value, std::string_view what = "") {
    std::string text = "\"";
    while (!value.empty()) {
        auto const length = utf8_length(value);
        auto const code = static_cast<unsigned char>(value[0]);
        constexpr std::string_view escaped = "\b\t\n\f\r\"\\\\";
        constexpr std::string_view letters = "btnfr\"\\\\";
        if (length == 0) {
            expects(what.empty(), what, " is not UTF-8");
            text += "\uFFFD";
        } else if (auto const at = escaped.find(value[0]); at != escaped.npos) {
            text += '\\';
            text += letters[at];
        } else if (code < 0x20) {
            text += "\\u00";
            text += "0123456789abcdef"[code >> 4U];
            text += "0123456789abcdef"[code & 15U];
        } else {
            text += value.substr(0, length);
        }
        value.remove_prefix(length == 0 ? 1 : length);
    }
    return text + '"';
}
inline std::string json_text(std::string const& value) { return json_text(std::string_view(value)); }
std::string json_text(char const*) = delete;  // would be taken for a truth value
inline std::string json_text(bool value) { return value ? "true" : "false"; }
template <std::integral T>
std::string json_text(T value) {
    return message(value);
}
// Shortest digits that give the same number; never without a point or an exponent, so that readers see a real number.
inline std::string json_text(double value) {
    expects(std::isfinite(value), "JSON has no number ", value);
    auto text = message(value);
    return text.find_first_of(".e") == text.npos ? text + ".0" : text;
}
inline std::string json_text(std::vector<index_t> const& values) {
    std::string text = "[";
    for (auto const value : values) {
        text += text.size() > 1 ? "," : "";
        text += message(value);
    }
    return text + "]";
}
inline std::string json_text(std::vector<std::string> const& values) {
    std::string text = "[";
    for (auto const& value : values) {
        text += text.size() > 1 ? ", " : "";
        text += json_text(value);
    }
    return text + "]";
}

// The text of an object with one member a line.
class JsonObject {
public:
    // `value` is JSON itself.
    void add(std::string_view key, std::string_view value) {
        lines_ += lines_.empty() ? "\n" : ",\n";
        lines_ += message("  ", json_text(key), ": ");
        for (char const letter : value) {
            lines_ += letter;
            lines_ += letter == '\n' ? "  " : "";
        }
    }
    std::string text() const { return lines_.empty() ? "{}" : "{" + lines_ + "\n}"; }

private:
    std::string lines_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::format::detail

#endif
