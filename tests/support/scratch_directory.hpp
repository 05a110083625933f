// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_SUPPORT_SCRATCH_DIRECTORY_HPP
#define DEEPSEEK_TESTS_SUPPORT_SCRATCH_DIRECTORY_HPP

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <string>

namespace deepseek_tests {

/// An empty directory that is removed with everything in it at the end of the test.
class ScratchDirectory {
public:
    ScratchDirectory() {
        static std::atomic<int> count = 0;
        path_ = std::filesystem::temp_directory_path() /
                ("deepseek-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count));
        std::filesystem::create_directory(path_);
    }
    ScratchDirectory(ScratchDirectory const&) = delete;
    ScratchDirectory& operator=(ScratchDirectory const&) = delete;
    ~ScratchDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::filesystem::path const& path() const { return path_; }
    std::filesystem::path operator/(std::filesystem::path const& name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

/// While it lives, no file of this process may grow beyond `bytes`: writing more fails as on a full disk.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        handler_ = std::signal(SIGXFSZ, SIG_IGN);  // so that write() fails instead of ending the process
        auto limit = before_;
        limit.rlim_cur = bytes;
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    FileSizeLimit(FileSizeLimit const&) = delete;
    FileSizeLimit& operator=(FileSizeLimit const&) = delete;
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }

private:
    rlimit before_{};
    void (*handler_)(int) = nullptr;
};

/// The message of the exception of type E that `action` throws; "nothing thrown" if it throws none.
template <class E, class Action>
std::string error_of(Action&& action) {
    try {
        action();
    } catch (E const& error) {
        return error.what();
    }
    return "nothing thrown";
}

/// True if the text holds every one of the parts.
template <class... Parts>
bool mentions(std::string const& text, Parts const&... parts) {
    return ((text.find(parts) != std::string::npos) && ...);
}

}  // namespace deepseek_tests

#endif
