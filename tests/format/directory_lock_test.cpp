// SPDX-License-Identifier: MIT
#include <deepseek/format/directory_lock.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

namespace fs = std::filesystem;
namespace format = deepseek::format;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;

namespace {

bool is_free(fs::path const& path) {
    return error_of<deepseek::FileError>([&] { format::DirectoryLock const lock(path); }) == "nothing thrown";
}

// Nothing can be created beside the directory.
struct Sealed : format::detail::DirectoryCalls {
    static int open(char const* path, int flags, mode_t mode) {
        if (fs::path(path).filename().native().starts_with(".d.")) {
            errno = (flags & O_CREAT) != 0 ? EACCES : ENOENT;
            return -1;
        }
        return format::detail::DirectoryCalls::open(path, flags, mode);
    }
};

// Between opening the lock and holding it, its holder removes it and another one makes a new one.
struct Replaced : format::detail::DirectoryCalls {
    static inline fs::path file;
    static inline std::unique_ptr<format::DirectoryLock> other;
    static int lock(int fd) {
        if (!file.empty()) {
            auto const target = file.parent_path() / "d";
            fs::remove(std::exchange(file, {}));
            other = std::make_unique<format::DirectoryLock>(target);
        }
        return format::detail::DirectoryCalls::lock(fd);
    }
};

// A file system without locks.
struct Lockless : format::detail::DirectoryCalls {
    static int lock(int) {
        errno = ENOLCK;
        return -1;
    }
};

}  // namespace

TEST_CASE("DirectoryLock: one at a time, by whatever name, and the second is told who holds it") {
    ScratchDirectory const scratch;
    fs::create_directory_symlink("d", scratch / "link");
    fs::create_directory(scratch / "d");
    {
        format::DirectoryLock const lock(scratch / "d");
        CHECK(lock.target().filename() == "d");
        CHECK_FALSE(lock.inside());
        for (auto const& name : {scratch / "d", scratch / "d" / "", scratch / "d" / ".", scratch / "link"}) {
            CHECK(mentions(error_of<deepseek::FileError>([&] { format::DirectoryLock const second(name); }),
                           "is being written by process " + std::to_string(::getpid()) + " on ", " since 2",
                           ".d.deepseek-lock"));
        }
        CHECK(is_free(scratch / "e"));
    }
    CHECK(is_free(scratch / "d"));
    CHECK_FALSE(fs::exists(scratch / ".d.deepseek-lock"));  // nothing is left
    CHECK_FALSE(fs::exists(scratch / ".e.deepseek-lock"));
}

TEST_CASE("DirectoryLock: a directory that does not exist yet is locked, and its parents made") {
    ScratchDirectory const scratch;
    format::DirectoryLock const lock(scratch / "a" / "b" / "d");
    CHECK(fs::is_directory(scratch / "a" / "b"));
    CHECK_FALSE(fs::exists(scratch / "a" / "b" / "d"));
    CHECK_FALSE(is_free(scratch / "a" / "b" / "d"));
}

TEST_CASE("DirectoryLock: what a dead process left holds nobody up") {
    ScratchDirectory const scratch;
    auto const child = ::fork();
    if (child == 0) {
        format::DirectoryLock const lock(scratch / "d");
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(fs::exists(scratch / ".d.deepseek-lock"));
    CHECK(is_free(scratch / "d"));
}

TEST_CASE("DirectoryLock: where nothing can be created beside the directory the lock lies in it") {
    ScratchDirectory const scratch;
    fs::create_directory(scratch / "d");
    {
        format::BasicDirectoryLock<Sealed> const lock(scratch / "d");
        CHECK(lock.inside());
        CHECK(fs::exists(scratch / "d" / ".deepseek-lock"));
        // Who can create one beside it meets it all the same.
        CHECK_FALSE(is_free(scratch / "d"));
    }
    CHECK(is_free(scratch / "d"));
    CHECK(fs::is_empty(scratch / "d"));
    fs::remove(scratch / "d");
    CHECK(mentions(
        error_of<deepseek::FileError>([&] { format::BasicDirectoryLock<Sealed> const lock(scratch / "d"); }),
        "cannot create a lock beside it or in it"));
}

TEST_CASE("DirectoryLock: a file that was replaced before it was locked is no lock") {
    ScratchDirectory const scratch;
    { std::ofstream(scratch / ".d.deepseek-lock") << ""; }
    Replaced::file = scratch / ".d.deepseek-lock";
    CHECK(mentions(error_of<deepseek::FileError>(
                       [&] { format::BasicDirectoryLock<Replaced> const lock(scratch / "d"); }),
                   "is being written by process"));
    Replaced::other.reset();
    CHECK(is_free(scratch / "d"));
}

TEST_CASE("DirectoryLock: a link or a pipe of its name is not taken for a lock") {
    ScratchDirectory const scratch;
    std::ofstream(scratch / "theirs") << "text";
    fs::create_symlink(scratch / "theirs", scratch / ".d.deepseek-lock");
    CHECK_FALSE(is_free(scratch / "d"));
    CHECK(deepseek::read_file(scratch / "theirs") == "text");
    REQUIRE(::mkfifo((scratch / ".e.deepseek-lock").c_str(), 0600) == 0);
    CHECK(mentions(error_of<deepseek::FileError>([&] { format::DirectoryLock const lock(scratch / "e"); }),
                   "no regular file"));
}

TEST_CASE("DirectoryLock: file systems without locks go without") {
    ScratchDirectory const scratch;
    format::BasicDirectoryLock<Lockless> const lock(scratch / "d");
    CHECK(is_free(scratch / "e"));
}

TEST_CASE("DirectoryLock: what a stranger wrote into the lock is shown harmlessly") {
    ScratchDirectory const scratch;
    format::DirectoryLock const lock(scratch / "d");
    std::ofstream(scratch / ".d.deepseek-lock") << "\x1b[2J" << std::string(100'000, 'x');
    auto const error =
        error_of<deepseek::FileError>([&] { format::DirectoryLock const second(scratch / "d"); });
    CHECK(error.size() < 1000);
    CHECK(error.find('\x1b') == error.npos);
}
