// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_SUPPORT_FAULT_HPP
#define DEEPSEEK_TESTS_SUPPORT_FAULT_HPP

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace deepseek_tests {

/// Whether an action touches memory that it must not: runs it in a child process and looks how that ends.
template <class Action>
bool faults(Action const& action) {
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::signal(SIGSEGV, SIG_DFL);  // not the test program's, which reports
        std::signal(SIGBUS, SIG_DFL);
        action();
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    bool const by_signal = WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS);
    REQUIRE((by_signal || (WIFEXITED(status) && WEXITSTATUS(status) == 0)));
    return by_signal;
}

}  // namespace deepseek_tests

#endif
