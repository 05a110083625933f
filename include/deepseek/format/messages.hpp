// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_MESSAGES_HPP
#define DEEPSEEK_FORMAT_MESSAGES_HPP

#include <deepseek/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::format::detail {

// Text from a file or a user, fit for a message: strangers' files may carry escape sequences, lines that look like ours,
// and megabytes.
inline std::string shortened(std::string_view name, std::size_t longest = 120) {
    bool const cut = name.size() > longest;
    while (cut && longest > 0 && (static_cast<unsigned char>(name[longest]) & 0xC0U) == 0x80U) {
        --longest;  // not inside a character
    }
    std::string text;
    for (char const letter : name.substr(0, longest)) {
        auto const code = static_cast<unsigned char>(letter);
        text += code < 0x20 || code == 0x7F ? '?' : letter;
    }
    return cut ? text + "…" : text;
}

// The same in quotes.
inline std::string in_quotes(std::string_view name, std::size_t longest = 120) {
    return "'" + shortened(name, longest) + "'";
}

// "title:" and the first of the problems, one a line.
inline std::string listed(std::string_view title, std::vector<std::string> const& problems) {
    constexpr std::size_t most = 25;
    auto text = message(title, ":");
    for (std::size_t i = 0; i < std::min(most, problems.size()); ++i) {
        text += "\n  " + problems[i];
    }
    return problems.size() > most ? text + message("\n  and ", problems.size() - most, " more") : text;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format::detail

#endif
