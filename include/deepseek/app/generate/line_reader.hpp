// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_LINE_READER_HPP
#define DEEPSEEK_APP_GENERATE_LINE_READER_HPP

#include <deepseek/app/interrupt.hpp>
#include <deepseek/app/needs_app.hpp>

#include <editline/readline.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
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
        typed_.reset();
        ended_ = false;
        ::rl_callback_handler_install(prompt, &take);
        while (!ended_ && wait_for_key()) {
            ::rl_callback_read_char();
        }
        ::rl_callback_handler_remove();
        if (typed_ == nullptr) {
            return false;
        }
        line = typed_.get();
        if (!line.empty()) {
            ::add_history(typed_.get());
        }
        return true;
    }

private:
    // Signals come while waiting and at no other moment: one that came just before would leave the wait to the next key.
    static bool wait_for_key() {
        sigset_t asking;
        sigset_t before;
        ::sigemptyset(&asking);
        for (int const number : {SIGINT, SIGTERM, SIGHUP}) {
            ::sigaddset(&asking, number);
        }
        ::sigprocmask(SIG_BLOCK, &asking, &before);
        int ready = -1;
        while (!Interrupt::requested() && ready < 0) {
            pollfd keys{STDIN_FILENO, POLLIN, 0};
            ready = ::ppoll(&keys, 1, nullptr, &before);
            if (ready < 0 && errno != EINTR) {
                break;
            }
        }
        ::sigprocmask(SIG_SETMASK, &before, nullptr);
        return ready > 0 && !Interrupt::requested();
    }

    // libedit's callback has no argument, so what it brings is the class's; there is one terminal.
    static void take(char* text) {
        typed_.reset(text);
        ended_ = true;
    }

    static inline std::unique_ptr<char, decltype([](char* text) { std::free(text); })> typed_;
    static inline bool ended_ = false;

    bool edits_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
