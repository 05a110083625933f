// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_SUPPORT_STOPPING_CALLS_HPP
#define DEEPSEEK_TESTS_SUPPORT_STOPPING_CALLS_HPP

#include <deepseek/format/directory_calls.hpp>

#include <doctest/doctest.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace deepseek_tests {

/// The system's calls but fsync, which takes long and matters only to those who lose power.
struct Unsynced : deepseek::format::detail::DirectoryCalls {
    static int fsync(int) { return 0; }
};

/// Counts the calls that change something; at number `stop_at` ends the process, or fails, as `fail_with` says.
template <class Base>
struct Stopping : Base {
    static inline int calls = 0;
    static inline int stop_at = 0;
    static inline int fail_with = 0;  // 0: end the process

    static bool stops() {
        if (++calls != stop_at) {
            return false;
        }
        if (fail_with == 0) {
            ::_exit(7);
        }
        errno = fail_with;
        return true;
    }
    static int open(char const* path, int flags, mode_t mode) {
        return stops() ? -1 : Base::open(path, flags, mode);
    }
    static ssize_t write(int fd, void const* data, std::size_t size) {
        return stops() ? -1 : Base::write(fd, data, size);
    }
    static int fsync(int fd) { return stops() ? -1 : Base::fsync(fd); }
    static int rename(char const* from, char const* to) { return stops() ? -1 : Base::rename(from, to); }
    static int unlink(char const* path) { return stops() ? -1 : Base::unlink(path); }
    static int mkdir(char const* path) { return stops() ? -1 : Base::mkdir(path); }
    static int chmod(char const* path, mode_t mode) { return stops() ? -1 : Base::chmod(path, mode); }
    static int link(char const* from, char const* to) { return stops() ? -1 : Base::link(from, to); }
    static int rmdir(char const* path) { return stops() ? -1 : Base::rmdir(path); }
    static int exchange(char const* one, char const* other) {
        return stops() ? -1 : Base::exchange(one, other);
    }
};

/// Runs `action` in a child process that ends at the n-th call; true if it got that far.
template <class Calls, class Action>
bool killed_at(int n, Action const& action) {
    auto const child = ::fork();
    if (child == 0) {
        Calls::calls = 0;
        Calls::stop_at = n;
        Calls::fail_with = 0;
        action();
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    REQUIRE((WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7));
    return WEXITSTATUS(status) == 7;
}

}  // namespace deepseek_tests

#endif
