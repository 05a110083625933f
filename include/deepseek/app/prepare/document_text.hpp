// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_DOCUMENT_TEXT_HPP
#define DEEPSEEK_APP_PREPARE_DOCUMENT_TEXT_HPP

#include <deepseek/app/prepare/dropped.hpp>
#include <deepseek/app/prepare/inputs.hpp>
#include <deepseek/app/prepare/settings.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/json.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/text/utf8.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::app {

namespace detail {

// Length of the white space at the beginning of valid UTF-8, 0 if there is none: the characters that are White_Space in
// Unicode, and the four separators U+001C to U+001F, as in Python's str.isspace.
inline std::size_t leading_space(std::string_view text) {
    auto const byte = [&](std::size_t i) {
        return static_cast<unsigned char>(i < text.size() ? text[i] : 0);
    };
    auto const first = byte(0);
    if (first < 0x80) {
        return first == ' ' || (first >= 0x09 && first <= 0x0D) || (first >= 0x1C && first <= 0x1F) ? 1 : 0;
    }
    if (first == 0xC2) {
        return byte(1) == 0x85 || byte(1) == 0xA0 ? 2 : 0;
    }
    if (first < 0xE1 || first > 0xE3) {
        return 0;
    }
    auto const code = (first & 0x0FU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU);
    return code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
                   code == 0x202F || code == 0x205F || code == 0x3000
               ? 3
               : 0;
}

inline void append_collapsed(std::string_view text, std::string& result) {
    bool blank = false;  // comes before the next character
    for (std::size_t at = 0; at < text.size();) {
        if (auto const length = leading_space(text.substr(at)); length > 0) {
            blank = !result.empty();
            at += length;
            continue;
        }
        if (blank) {
            result += ' ';
            blank = false;
        }
        result += text[at++];
    }
}

}  // namespace detail

/// From what stands in a file to the text of a document.
class DocumentText {
public:
    explicit DocumentText(PrepareSettings const& settings) : settings_(&settings) {}

    /// The text of document or line `number`, counted from 1, of an input; nothing if it is dropped, which is counted.
    /// Valid until the next call, and as long as `raw`.
    ///
    /// Errors:    FormatError naming file and number if it is not UTF-8, or no JSON object with a text
    std::optional<std::string_view> operator()(Input const& input, index_t number, std::string_view raw,
                                               Dropped& dropped) {
        auto text = raw;
        if (input.format == InputFormat::jsonl) {
            if (is_blank(raw)) {
                return std::nullopt;  // a line that is empty is no document
            }
            if (!read_json(input, number, raw)) {
                dropped.missing_texts += 1;
                return std::nullopt;
            }
            text = json_;
        }
        if (auto const valid = text::valid_utf8_prefix(text); valid != text.size()) [[unlikely]] {
            text::expects_utf8(text, where(input, number));
        }
        if (is_blank(text)) {
            dropped.empty_documents += 1;
            dropped.empty_bytes += static_cast<index_t>(text.size());
            return std::nullopt;
        }
        auto const whole = static_cast<index_t>(text.size());
        if (settings_->collapse_whitespace) {
            collapsed_.clear();
            detail::append_collapsed(text, collapsed_);
            text = collapsed_;
        }
        auto const size = static_cast<index_t>(text.size());
        if (size == 0 || size < settings_->min_bytes) {
            dropped.short_documents += 1;
            dropped.short_bytes += whole;
            return std::nullopt;
        }
        dropped.whitespace_bytes += whole - size;
        return text;
    }

private:
    static bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

    static std::string where(Input const& input, index_t number) {
        return message(input.file.path.native(),
                       input.format == InputFormat::jsonl ? ": line " : ": document ", number);
    }

    // Whether the line has a text, which is then in json_.
    bool read_json(Input const& input, index_t number, std::string_view line) {
        auto const place = where(input, number);
        auto object = format::parse_json(line, place);
        expects<FormatError>(object.is_object(), place, ": is ", object.type_name(),
                             ", expected an object, as every line of JSON lines");
        auto const at = object.find(settings_->text_field);
        if (at == object.end()) {
            throw FormatError(message(place, ": has no ", format::detail::in_quotes(settings_->text_field),
                                      "; --text-field names the text"));
        }
        expects<FormatError>(at->is_null() || at->is_string(), place, ": \"", settings_->text_field, "\" is ",
                             at->type_name(), ", expected a string");
        if (at->is_null()) {
            return false;
        }
        json_ = std::move(at->get_ref<std::string&>());
        return true;
    }

    PrepareSettings const* settings_;
    std::string json_;
    std::string collapsed_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
