// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_PROGRAMS_PROGRAM_HPP
#define DEEPSEEK_TESTS_PROGRAMS_PROGRAM_HPP

#include <deepseek/format/file.hpp>

#include "support/data.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

// The programs as users run them: command lines, exit codes, what they write where.

namespace deepseek_tests {

/// How a program ended.
struct Outcome {
    int status = -1;  ///< exit code; 128 + number where a signal ended it
    std::string out;
    std::string err;
};

/// A program that runs.
class Process {
public:
    /// `command` is a line for the shell whose first word is the name of one of our programs; it may redirect output.
    /// `before` is what the shell does first, with a semicolon behind it.
    explicit Process(std::string const& command, std::string const& input = {},
                     std::string const& before = {}) {
        for (auto const& [name, contents] : {std::pair("in", input), {"out", {}}, {"err", {}}}) {
            deepseek::write_file_atomically(files_ / name, contents);
        }
        auto const line = "exec <'" + (files_ / "in").native() + "' >'" + (files_ / "out").native() +
                          "' 2>'" + (files_ / "err").native() + "'; " + before + " exec '" +
                          program_dir().native() + "/'" + command;
        char const* const arguments[] = {"sh", "-c", line.c_str(), nullptr};
        REQUIRE(::posix_spawn(&pid_, "/bin/sh", nullptr, nullptr, const_cast<char* const*>(arguments),
                              environ) == 0);
    }
    Process(Process const&) = delete;
    Process& operator=(Process const&) = delete;
    ~Process() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
    }

    void signal(int number) const { ::kill(pid_, number); }

    /// Waits until stdout holds the text; false if the program ends or a minute passes first.
    bool wait_for(std::string_view text) const {
        using namespace std::chrono;
        for (auto const end = steady_clock::now() + minutes(1); steady_clock::now() < end;) {
            if (deepseek::read_file(files_ / "out").find(text) != std::string::npos) {
                return true;
            }
            siginfo_t info{};
            if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
                info.si_pid != 0) {
                return false;
            }
            std::this_thread::sleep_for(milliseconds(5));
        }
        return false;
    }

    Outcome wait() {
        int status = 0;
        REQUIRE(::waitpid(pid_, &status, 0) == pid_);
        pid_ = 0;
        return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                deepseek::read_file(files_ / "out"), deepseek::read_file(files_ / "err")};
    }

private:
    ScratchDirectory files_;
    pid_t pid_ = 0;
};

inline Outcome run_program(std::string const& command, std::string const& input = {},
                           std::string const& before = {}) {
    return Process(command, input, before).wait();
}

/// A path or any other text as one word of a command.
inline std::string word(std::string const& text) {
    std::string quoted = "'";
    for (char const letter : text) {
        letter == '\'' ? quoted += "'\\''" : quoted += letter;
    }
    return quoted + "'";
}
inline std::string word(std::filesystem::path const& path) { return word(path.native()); }

/// Some stories as tokens of the model quickstart, bytes; made once.
inline std::filesystem::path story_data() {
    static ScratchDirectory const directory;
    auto const data = directory / "data";
    if (!std::filesystem::exists(data)) {
        auto const stories = directory / "stories.txt";
        REQUIRE(run_program("make_stories --count 60 --output " + word(stories)).status == 0);
        auto const prepared =
            run_program("prepare --input " + word(stories) + " --tokenizer bytes --output " + word(data));
        REQUIRE_MESSAGE(prepared.status == 0, prepared.err);
    }
    return data;
}

/// `train` with the model quickstart on those stories, small enough for a test.
inline std::string train_command(std::filesystem::path const& out, std::string const& more) {
    return "train --model quickstart --data " + word(story_data()) + " --out " + word(out) +
           " --batch-size 2 --seq-len 16 --eval-batches 1 --log-every 1 --threads 1 " + more;
}

inline void cut_in_half(std::filesystem::path const& file) {
    std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
}

}  // namespace deepseek_tests

#endif
