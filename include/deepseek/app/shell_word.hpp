// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_SHELL_WORD_HPP
#define DEEPSEEK_APP_SHELL_WORD_HPP

#include <deepseek/config.hpp>

#include <string>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// The text as one word of a shell command.
inline std::string shell_word(std::string_view text) {
    constexpr std::string_view kPlain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=.,:/@%";
    if (!text.empty() && text.find_first_not_of(kPlain) == text.npos) {
        return std::string(text);
    }
    std::string word = "'";
    for (char const letter : text) {
        letter == '\'' ? word += "'\\''" : word += letter;
    }
    return word + "'";
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
