// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/format/file.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace fs = std::filesystem;
using deepseek::AtomicFile;
using deepseek::FileError;
using deepseek::MappedFile;
using deepseek::read_file;
using deepseek::write_file_atomically;
using deepseek_tests::error_of;
using deepseek_tests::FileSizeLimit;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;

namespace {

std::size_t entries(fs::path const& directory) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

// System calls of which the one with a given number fails.
struct FailingCalls {
    static inline int countdown = 0;
    static inline int code = EIO;
    static inline bool short_writes = false;

    static bool fails() {
        if (countdown > 0 && --countdown == 0) {
            errno = code;
            return true;
        }
        return false;
    }
    using Posix = deepseek::detail::PosixCalls;
    static int open(char const* path, int flags, mode_t mode) {
        return fails() ? -1 : Posix::open(path, flags, mode);
    }
    static ssize_t read(int fd, void* data, std::size_t size) {
        return fails() ? -1 : Posix::read(fd, data, size);
    }
    static ssize_t write(int fd, void const* data, std::size_t size) {
        return fails() ? -1 : Posix::write(fd, data, short_writes && size > 1 ? size / 2 : size);
    }
    static int fsync(int fd) { return fails() ? -1 : Posix::fsync(fd); }
    static int close(int fd) {
        int const status = Posix::close(fd);  // the descriptor is gone even where close fails
        return fails() ? -1 : status;
    }
    static int rename(char const* from, char const* to) { return fails() ? -1 : Posix::rename(from, to); }
    static int fchmod(int fd, mode_t mode) { return fails() ? -1 : Posix::fchmod(fd, mode); }
    static int fchown(int fd, uid_t user, gid_t group) {
        return fails() ? -1 : Posix::fchown(fd, user, group);
    }
    static int unlink(char const* path) { return Posix::unlink(path); }
};

}  // namespace

TEST_CASE("file: what was written is what is read and mapped") {
    ScratchDirectory const scratch;
    auto const path = scratch / "file";
    for (std::string const& contents : {std::string(), std::string("a"), std::string(1'000'003, 'x')}) {
        write_file_atomically(path, contents);
        CHECK(read_file(path) == contents);
        MappedFile const mapped(path);
        CHECK(mapped.text() == contents);
        CHECK(mapped.size() == static_cast<deepseek::index_t>(contents.size()));
    }
    CHECK(entries(scratch.path()) == 1);
}

TEST_CASE("file: errors name the path and the cause") {
    ScratchDirectory const scratch;
    auto const missing = scratch / "missing";
    CHECK(mentions(error_of<FileError>([&] { read_file(missing); }), missing.native(), "No such file"));
    CHECK(mentions(error_of<FileError>([&] { MappedFile{missing}; }), missing.native(), "No such file"));
    CHECK(mentions(error_of<FileError>([&] { read_file(scratch.path()); }), scratch.path().native(),
                   "is a directory"));
    CHECK(mentions(error_of<FileError>([&] { MappedFile{scratch.path()}; }), "is a directory"));
    CHECK(mentions(error_of<FileError>([&] { write_file_atomically(missing / "file", "x"); }),
                   (missing / "file").native(), "No such file"));
    CHECK(mentions(error_of<FileError>([&] { write_file_atomically(scratch.path(), "x"); }),
                   scratch.path().native(), "not a regular file"));
}

TEST_CASE("file: a pipe is not waited for and a device is not replaced") {
    ScratchDirectory const scratch;
    auto const pipe = scratch / "pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    CHECK(mentions(error_of<FileError>([&] { MappedFile{pipe}; }), "not a regular file"));
    CHECK(mentions(error_of<FileError>([&] { write_file_atomically("/dev/null", "x"); }), "/dev/null",
                   "not a regular file"));
    CHECK(read_file("/dev/null").empty());
}

TEST_CASE("file: a writer that is not committed leaves the old file and nothing else") {
    ScratchDirectory const scratch;
    auto const path = scratch / "file";
    write_file_atomically(path, "old");
    {
        AtomicFile file(path);
        file.write(std::string_view("new"));
        CHECK(entries(scratch.path()) == 2);
        file.sync();
        CHECK(read_file(path) == "old");
        CHECK_THROWS_AS(file.write(std::string_view("more")), deepseek::Error);
    }
    CHECK(read_file(path) == "old");
    CHECK(entries(scratch.path()) == 1);
}

TEST_CASE("file: two writers of one file do not meet") {
    ScratchDirectory const scratch;
    auto const path = scratch / "file";
    AtomicFile first(path);
    AtomicFile second(path);
    first.write(std::string_view("first"));
    second.write(std::string_view("second"));
    second.commit();
    CHECK(read_file(path) == "second");
    first.commit();
    CHECK(read_file(path) == "first");
    CHECK_THROWS_AS(first.commit(), deepseek::Error);
    CHECK(entries(scratch.path()) == 1);
}

TEST_CASE("file: whichever system call fails, the file is the old or the new one") {
    ScratchDirectory const scratch;
    auto const path = scratch / "file";
    std::string const old_text = "old";
    std::string const new_text(600'000, 'n');  // more than the buffer: several writes
    for (auto const code : {EIO, ENOSPC}) {
        for (int call = 1;; ++call) {
            CAPTURE(call);
            write_file_atomically(path, old_text);
            FailingCalls::code = code;
            FailingCalls::short_writes = true;
            FailingCalls::countdown = call;
            auto const error = error_of<FileError>([&] {
                deepseek::BasicAtomicFile<FailingCalls> file(path);
                for (std::size_t at = 0; at < new_text.size(); at += 100'000) {
                    file.write(std::string_view(new_text).substr(at, 100'000));
                }
                file.commit();
            });
            bool const failed = FailingCalls::countdown == 0;
            FailingCalls::countdown = 0;
            auto const found = read_file(path);
            CHECK((found == old_text || found == new_text));
            CHECK(entries(scratch.path()) == 1);
            if (!failed) {
                CHECK(found == new_text);
                CHECK(error == "nothing thrown");
                CHECK(call >
                      10);  // the loop went through open, writes, fsync, close, rename and the directory
                break;
            }
            // A descriptor of the directory that does not close has nothing to report.
            if (found == old_text) {
                CHECK(mentions(error, scratch.path().native(), code == EIO ? "Input/output" : "No space"));
            }
        }
    }
}

TEST_CASE("file: an interrupted call is made again") {
    ScratchDirectory const scratch;
    auto const path = scratch / "file";
    for (int call = 1; call <= 2; ++call) {  // open, write
        FailingCalls::code = EINTR;
        FailingCalls::countdown = call;
        deepseek::BasicAtomicFile<FailingCalls> file(path);
        file.write(std::string_view("text"));
        file.commit();
        CHECK(FailingCalls::countdown == 0);
        CHECK(read_file(path) == "text");
    }
    CHECK(entries(scratch.path()) == 1);
}

TEST_CASE("file: a full disk keeps the old file") {
    ScratchDirectory const scratch;
    auto const path = scratch / "file";
    write_file_atomically(path, "old");
    {
        FileSizeLimit const limit(4096);
        CHECK(mentions(error_of<FileError>([&] { write_file_atomically(path, std::string(100'000, 'x')); }),
                       path.native(), "File too large"));
    }
    CHECK(read_file(path) == "old");
    CHECK(entries(scratch.path()) == 1);
}

TEST_CASE("file: permissions follow the umask") {
    ScratchDirectory const scratch;
    auto const before = ::umask(027);
    write_file_atomically(scratch / "file", "x");
    ::umask(before);
    CHECK(fs::status(scratch / "file").permissions() == fs::perms(0640));
}

TEST_CASE("file: permissions stay those of the file replaced") {
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "file", "old");
    fs::permissions(scratch / "file", fs::perms(0600));
    write_file_atomically(scratch / "file", "new");
    CHECK(read_file(scratch / "file") == "new");
    CHECK(fs::status(scratch / "file").permissions() == fs::perms(0600));
    {
        deepseek::AtomicFile file(scratch / "other", scratch / "file");
        file.commit();
    }
    CHECK(fs::status(scratch / "other").permissions() == fs::perms(0600));
}

TEST_CASE("file: a link stays a link and what it points to is replaced") {
    ScratchDirectory const scratch;
    fs::create_directory(scratch / "elsewhere");
    write_file_atomically(scratch / "elsewhere" / "target", "old");
    fs::create_symlink(fs::path("elsewhere") / "target", scratch / "link");
    write_file_atomically(scratch / "link", "new");
    CHECK(fs::is_symlink(scratch / "link"));
    CHECK(read_file(scratch / "elsewhere" / "target") == "new");
}

TEST_CASE("file: renaming durably replaces a file") {
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "from", "new");
    write_file_atomically(scratch / "to", "old");
    deepseek::rename_durably(scratch / "from", scratch / "to");
    CHECK(read_file(scratch / "to") == "new");
    CHECK(mentions(error_of<FileError>([&] { deepseek::rename_durably(scratch / "from", scratch / "to"); }),
                   (scratch / "to").native(), "No such file"));
}

TEST_CASE("file: small files are read, large ones and pipes refused without waiting or memory") {
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "file", "text");
    CHECK(deepseek::read_small_file(scratch / "file") == "text");
    CHECK(mentions(error_of<FileError>([&] { deepseek::read_small_file(scratch / "file", 3); }), "file",
                   "has 4 bytes, expected at most 3"));
    fs::resize_file(scratch / "file", std::uintmax_t{3} << 30);  // sparse
    CHECK(mentions(error_of<FileError>([&] { deepseek::read_small_file(scratch / "file"); }), "file",
                   "has 3221225472 bytes"));
    REQUIRE(::mkfifo((scratch / "pipe").c_str(), 0600) == 0);
    CHECK(mentions(error_of<FileError>([&] { deepseek::read_small_file(scratch / "pipe"); }), "pipe",
                   "not a regular file"));
    CHECK(mentions(error_of<FileError>([&] { deepseek::read_small_file("/dev/zero"); }), "/dev/zero",
                   "not a regular file"));
    CHECK(
        mentions(error_of<FileError>([&] { deepseek::read_small_file(scratch.path()); }), "is a directory"));
}
