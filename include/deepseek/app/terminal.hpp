// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TERMINAL_HPP
#define DEEPSEEK_APP_TERMINAL_HPP

#include <deepseek/config.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// Columns of the terminal behind a file descriptor; as many as one likes where there is none.
inline std::size_t terminal_width(int fd) {
    struct winsize size {};
    bool const known = ::isatty(fd) == 1 && ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : std::numeric_limits<std::size_t>::max();
}

/// A part of a line of progress, and how soon it may go where the line is too narrow: 0 never, then the greatest first.
struct LinePart {
    std::string text;
    int dispensable = 0;
    std::string detail{};  ///< stands behind the text while there is room
    int detail_dispensable = 0;
};

/// The parts with bars between them, without the more dispensable ones where they would take more than `width` columns.
inline std::string joined_to_fit(std::vector<LinePart> parts, std::size_t width) {
    for (;;) {
        std::string line;
        int worst = 0;
        for (auto const& part : parts) {
            if (!part.text.empty()) {
                line += (line.empty() ? "" : " | ") + part.text + part.detail;
                worst =
                    std::max({worst, part.dispensable, part.detail.empty() ? 0 : part.detail_dispensable});
            }
        }
        if (line.size() <= width || worst == 0) {
            return line;
        }
        for (auto& part : parts) {
            if (part.dispensable == worst) {
                part.text.clear();
            }
            if (part.detail_dispensable == worst) {
                part.detail.clear();
            }
        }
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
