// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_IO_JSON_HPP
#define DEEPSEEK_IO_JSON_HPP

#include <deepseek/core/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// JSON from files of strangers, read into nlohmann::json.

namespace deepseek::inline DEEPSEEK_ABI::io {

namespace detail {

// A name from a file in quotes, fit for a message: strangers' files may carry escape sequences and megabytes.
inline std::string in_quotes(std::string_view name, std::size_t longest = 120) {
    bool const cut = name.size() > longest;
    while (cut && longest > 0 && (static_cast<unsigned char>(name[longest]) & 0xC0U) == 0x80U) {
        --longest;  // not inside a character
    }
    std::string text = "'";
    for (char const letter : name.substr(0, longest)) {
        auto const code = static_cast<unsigned char>(letter);
        text += code < 0x20 || code == 0x7F ? '?' : letter;
    }
    return text + (cut ? "…'" : "'");
}

// What nlohmann says of an error, without its own prefix. It may quote the file, which need not be text.
inline std::string json_complaint(std::exception const& error) {
    std::string text = error.what();
    if (auto const end = text.find("] "); end != text.npos && text.starts_with("[json.")) {
        text.erase(0, end + 2);
    }
    std::replace_if(
        text.begin(), text.end(), [](char letter) { return static_cast<unsigned char>(letter) >= 0x80; },
        '?');
    auto const shown = in_quotes(text, 240);
    return shown.substr(1, shown.size() - 2);
}

}  // namespace detail

/// Deepest nesting of objects and arrays that parse_json accepts.
inline constexpr int kJsonDepthLimit = 64;

/// Parses a JSON text strictly: UTF-8, no comments, nothing after the value, no key twice in one object.
///
/// Errors:    FormatError that begins with `where` and gives line and column or the repeated key
inline nlohmann::json parse_json(std::string_view text, std::string_view where) try {
    // nlohmann takes a NUL for the end of its input and skips a byte order mark.
    expects<FormatError>(text.find('\0') == text.npos, where, ": holds a NUL byte, so it is not JSON");
    expects<FormatError>(!text.starts_with("\xEF\xBB\xBF"), where, ": begins with a byte order mark");
    using Event = nlohmann::json::parse_event_t;
    std::vector<std::set<std::string>> keys;  // of the objects that are open
    return nlohmann::json::parse(
        text.begin(), text.end(), [&](int depth, Event event, nlohmann::json& parsed) {
            expects<FormatError>(depth <= kJsonDepthLimit, where, ": nested deeper than ", kJsonDepthLimit,
                                 " levels");
            if (event == Event::object_start) {
                keys.emplace_back();
            } else if (event == Event::object_end) {
                keys.pop_back();
            } else if (event == Event::key) {
                auto const& key = parsed.get_ref<std::string const&>();
                if (!keys.back().insert(key).second) {
                    throw FormatError(
                        message(where, ": the key ", detail::in_quotes(key), " is given twice"));
                }
            }
            return true;
        });
} catch (nlohmann::json::exception const& error) {
    throw FormatError(message(where, ": not valid JSON: ", detail::json_complaint(error)));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::io

#endif
