// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_INTERRUPT_HPP
#define DEEPSEEK_APP_INTERRUPT_HPP

#include <deepseek/config.hpp>

#include <signal.h>
#include <unistd.h>

#include <csignal>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// Turns SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal is gone) into a request that the program looks for where it
/// can stop cleanly. A second signal before the request was cleared ends the program at once with status 130. SIGHUP
/// stays ignored where it was, under nohup.
///
/// SIGPIPE is ignored: a reader that goes away makes writing fail, which the writer can tell and survive.
class Interrupt {
public:
    Interrupt() {
        struct sigaction action {};
        action.sa_handler = &handle;
        ::sigemptyset(&action.sa_mask);
        action.sa_flags = 0;  // no SA_RESTART: a signal ends waiting for input
        ::sigaction(SIGINT, &action, nullptr);
        ::sigaction(SIGTERM, &action, nullptr);
        struct sigaction before {};
        if (::sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) {
            ::sigaction(SIGHUP, &action, nullptr);
        }
        action.sa_handler = SIG_IGN;
        ::sigaction(SIGPIPE, &action, nullptr);
    }

    /// Whether a signal came.
    static bool requested() { return received_ != 0; }
    /// Forgets a request that was acted upon.
    static void clear() { received_ = 0; }

private:
    static void handle(int) {
        if (received_ != 0) {
            ::_exit(130);
        }
        received_ = 1;
    }

    static inline volatile std::sig_atomic_t received_ = 0;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
