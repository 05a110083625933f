// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_LINE_READER_HPP
#define DEEPSEEK_APP_GENERATE_LINE_READER_HPP

#include <deepseek/app/interrupt.hpp>
#include <deepseek/app/needs_app.hpp>

#include <editline/readline.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// Lines that a person types, with editing and a memory of those before where stdin and stderr are a terminal; lines of
/// stdin otherwise. The prompt goes to stderr: stdout is for text.
class LineReader {
public:
    LineReader() : edits_(::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1) {
        if (edits_) {
            ::rl_outstream = stderr;
            ::rl_catch_signals = 0;  // Interrupt has them
        }
    }

    /// The next line; false at the end of input, or where a signal came first.
    bool read(char const* prompt, std::string& line) {
        if (!edits_) {
            std::fputs(prompt, stderr);
            return static_cast<bool>(std::getline(std::cin, line)) && !Interrupt::requested();
        }
        std::fflush(stdout);
        std::unique_ptr<char, decltype(&std::free)> const typed(::readline(prompt), &std::free);
        if (typed == nullptr || Interrupt::requested()) {
            return false;
        }
        line = typed.get();
        if (!line.empty()) {
            ::add_history(typed.get());
        }
        return true;
    }

private:
    bool edits_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
