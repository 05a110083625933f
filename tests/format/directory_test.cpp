// SPDX-License-Identifier: MIT
#include <deepseek/format/directory.hpp>

#include "support/scratch_directory.hpp"
#include "support/skip.hpp"
#include "support/stopping_calls.hpp"
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

namespace fs = std::filesystem;
namespace format = deepseek::format;
using deepseek_tests::error_of;
using deepseek_tests::killed_at;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;
using deepseek_tests::Stopping;
using deepseek_tests::Unsynced;

namespace {

bool ours(std::string_view name) { return name == "one" || name == "two"; }

void put(fs::path const& path, std::string const& text) { std::ofstream(path) << text; }

std::string get(fs::path const& path) { return deepseek::read_file(path); }

template <class Calls = Unsynced>
void write_pair(fs::path const& target, std::string const& text) {
    format::BasicAtomicDirectory<Calls> directory(target, ours);
    for (auto const* name : {"one", "two"}) {
        auto file = directory.file(name);
        file.write(text + name);
        file.commit();
    }
    directory.commit();
}

// The text both files agree on, or what is wrong.
std::string read_pair(fs::path const& target) {
    auto const directory = format::existing_directory(target);
    if (!fs::exists(directory)) {
        return "none";
    }
    if (!fs::exists(directory / "one") || !fs::exists(directory / "two")) {
        return "incomplete";
    }
    auto const one = get(directory / "one");
    auto const two = get(directory / "two");
    return one.ends_with("one") && two == one.substr(0, one.size() - 3) + "two"
               ? one.substr(0, one.size() - 3)
               : "mixed";
}

std::size_t count(fs::path const& directory) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), {}));
}

// A file system that cannot swap names.
struct NoExchange : Unsynced {
    static int exchange(char const*, char const*) {
        errno = EINVAL;
        return -1;
    }
};

// A mount point, or a directory of a lower layer of an overlay: nothing moves between it and its surroundings.
struct Mounted : Unsynced {
    static int rename(char const* from, char const* to) {
        if (fs::path(from).parent_path() != fs::path(to).parent_path() && fs::is_directory(from)) {
            errno = EXDEV;
            return -1;
        }
        return Unsynced::rename(from, to);
    }
    static int exchange(char const*, char const*) {
        errno = EBUSY;
        return -1;
    }
};

// A file system without hard links, on which nothing can be swapped either.
struct NoLinks : NoExchange {
    static int link(char const*, char const*) {
        errno = EPERM;
        return -1;
    }
};

}  // namespace

TEST_CASE("AtomicDirectory: a new directory and its parents appear on commit, and not before") {
    ScratchDirectory const scratch;
    auto const target = scratch / "a" / "b";
    {
        format::AtomicDirectory directory(target, ours);
        put(directory.path() / "one", "1");
        CHECK_FALSE(fs::exists(target));
        directory.commit();
    }
    CHECK(get(target / "one") == "1");
    CHECK(count(scratch / "a") == 1);
}

TEST_CASE("AtomicDirectory: without commit nothing changes and nothing is left") {
    ScratchDirectory const scratch;
    write_pair(scratch / "d", "old");
    {
        format::AtomicDirectory directory(scratch / "d", ours);
        put(directory.path() / "one", "new");
        put(directory.path() / "two.deepseek-tmp-1-0", "half a file");
    }
    CHECK(read_pair(scratch / "d") == "old");
    CHECK(count(scratch.path()) == 1);
}

TEST_CASE_TEMPLATE("AtomicDirectory: replaces the old files and keeps what it does not own", Calls, Unsynced,
                   NoExchange, Mounted, NoLinks) {
    ScratchDirectory const scratch;
    auto const target = scratch / "d";
    write_pair<Calls>(target, "old");
    put(target / "README.md", "mine");
    fs::create_directory(target / "logs");
    put(target / "logs" / "one", "log");
    fs::permissions(target / "one", fs::perms::owner_read);
    write_pair<Calls>(target, "new");
    CHECK(read_pair(target) == "new");
    CHECK(get(target / "README.md") == "mine");
    CHECK(get(target / "logs" / "one") == "log");
    CHECK(count(target) == 4);
    CHECK(count(scratch.path()) == 1);
}

TEST_CASE("AtomicDirectory: an owned file that the new directory lacks is gone") {
    ScratchDirectory const scratch;
    write_pair(scratch / "d", "old");
    format::AtomicDirectory directory(scratch / "d", ours);
    put(directory.path() / "one", "new");
    directory.commit();
    CHECK(count(scratch / "d") == 1);
}

TEST_CASE("AtomicDirectory: the name may end in a slash, be relative, or be a symbolic link") {
    ScratchDirectory const scratch;
    write_pair(scratch / "d", "old");
    write_pair((scratch / "d").native() + "/", "slash");
    CHECK(read_pair(scratch / "d") == "slash");
    CHECK(read_pair((scratch / "d").native() + "/") == "slash");
    fs::create_directory_symlink("d", scratch / "link");
    write_pair(scratch / "link", "link");
    CHECK(fs::is_symlink(scratch / "link"));
    CHECK(read_pair(scratch / "d") == "link");
    auto const before = fs::current_path();
    fs::current_path(scratch.path());
    write_pair("d", "relative");
    write_pair("e", "relative");
    fs::current_path(before);
    CHECK(read_pair(scratch / "d") == "relative");
    CHECK(read_pair(scratch / "e") == "relative");
}

TEST_CASE("AtomicDirectory: what cannot be a directory is refused by name") {
    ScratchDirectory const scratch;
    put(scratch / "file", "");
    CHECK(mentions(error_of<deepseek::FileError>([&] { write_pair(scratch / "file", "x"); }), "file",
                   "not a directory"));
    CHECK(mentions(error_of<deepseek::FileError>([&] { write_pair(scratch / "file" / "d", "x"); }), "file"));
    CHECK(mentions(error_of<deepseek::FileError>([&] { write_pair("/", "x"); }), "/"));
    CHECK(get(scratch / "file").empty());
}

TEST_CASE("AtomicDirectory: a second writer is refused while the first one works") {
    ScratchDirectory const scratch;
    {
        format::AtomicDirectory first(scratch / "d", ours);
        put(first.path() / "one", "first");
        auto const error =
            error_of<deepseek::FileError>([&] { format::AtomicDirectory second(scratch / "d", ours); });
        CHECK(mentions(error, "is being written by process"));
        first.commit();
    }
    CHECK(get(scratch / "d" / "one") == "first");
    CHECK_NOTHROW(write_pair(scratch / "d", "second"));
}

TEST_CASE("AtomicDirectory: neighbours with likely names are other people's") {
    ScratchDirectory const scratch;
    for (auto const* name : {"d.old", "d.tmp", "d.new", ".d.tmp"}) {
        fs::create_directory(scratch / name);
        put(scratch / name / "one", name);
    }
    write_pair(scratch / "d", "first");
    write_pair(scratch / "d", "second");
    for (auto const* name : {"d.old", "d.tmp", "d.new", ".d.tmp"}) {
        CHECK(get(scratch / name / "one") == name);
    }
    CHECK(read_pair(scratch / "d") == "second");
    CHECK(count(scratch.path()) == 5);
}

TEST_CASE("AtomicDirectory: a link under one of its own names is not followed") {
    ScratchDirectory const scratch;
    write_pair(scratch / "elsewhere", "theirs");
    write_pair(scratch / "d", "old");
    for (auto const& path : {scratch / "d" / ".deepseek-new", scratch / "d" / ".deepseek-commit",
                             scratch / "d" / ".deepseek-link", scratch / ".d.deepseek-new"}) {
        fs::create_directory_symlink(scratch / "elsewhere", path);
    }
    CHECK(read_pair(scratch / "d") == "old");
    write_pair(scratch / "d", "new");
    CHECK(read_pair(scratch / "d") == "new");
    fs::remove(scratch / "d" / "one");
    fs::create_symlink(scratch / "elsewhere" / "one", scratch / "d" / "one");
    put(scratch / "d" / "README.md", "mine");
    write_pair(scratch / "d", "newer");
    CHECK(read_pair(scratch / "d") == "newer");
    CHECK(read_pair(scratch / "elsewhere") == "theirs");
}

TEST_CASE("AtomicDirectory: a new directory does not follow a link under its temporary name") {
    ScratchDirectory const scratch;
    write_pair(scratch / "elsewhere", "theirs");
    fs::create_directory_symlink(scratch / "elsewhere", scratch / ".d.deepseek-new");
    CHECK(mentions(error_of<deepseek::FileError>([&] { write_pair(scratch / "d", "x"); }), ".d.deepseek-new",
                   "File exists"));
    CHECK(read_pair(scratch / "elsewhere") == "theirs");
}

TEST_CASE("AtomicDirectory: the working directory stays the working directory") {
    ScratchDirectory const scratch;
    write_pair(scratch / "d", "old");
    auto const before = fs::current_path();
    fs::current_path(scratch / "d");
    write_pair(".", "new");
    CHECK(read_pair(".") == "new");
    put("relative", "still here");
    write_pair(scratch / "d", "newer");
    CHECK(read_pair("../d") == "newer");
    CHECK(get("relative") == "still here");
    fs::current_path(before);
    CHECK(get(scratch / "d" / "relative") == "still here");
    CHECK(count(scratch / "d") == 3);
}

TEST_CASE("AtomicDirectory: another process's working directory stays that") {
    ScratchDirectory const scratch;
    write_pair(scratch / "d", "old");
    int ready[2];
    int written[2];
    REQUIRE(::pipe(ready) == 0);
    REQUIRE(::pipe(written) == 0);
    auto const child = ::fork();
    if (child == 0) {
        char byte = 0;
        bool const waited = ::chdir((scratch / "d").c_str()) == 0 && ::write(ready[1], "", 1) == 1 &&
                            ::read(written[0], &byte, 1) == 1;
        ::_exit(waited && fs::exists("one") && get("one") == "newone" ? 0 : 1);
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    write_pair(scratch / "d", "new");
    REQUIRE(::write(written[1], "", 1) == 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    for (int const end : {ready[0], ready[1], written[0], written[1]}) {
        ::close(end);
    }
    if (!fs::exists("/proc/self/cwd")) {
        return deepseek_tests::skip("no /proc");
    }
    CHECK(status == 0);
}

TEST_CASE_TEMPLATE("AtomicDirectory: permissions stay those of what is replaced", Calls, Unsynced, NoExchange,
                   NoLinks) {
    ScratchDirectory const scratch;
    write_pair(scratch / "d", "old");
    fs::permissions(scratch / "d", fs::perms(0710));
    fs::permissions(scratch / "d" / "one", fs::perms(0600));
    fs::permissions(scratch / "d" / "two", fs::perms(0640));
    write_pair<Calls>(scratch / "d", "new");
    CHECK(read_pair(scratch / "d") == "new");
    CHECK(fs::status(scratch / "d").permissions() == fs::perms(0710));
    CHECK(fs::status(scratch / "d" / "one").permissions() == fs::perms(0600));
    CHECK(fs::status(scratch / "d" / "two").permissions() == fs::perms(0640));
}

TEST_CASE("AtomicDirectory: a link to nothing and a directory in a file's place are refused by name") {
    ScratchDirectory const scratch;
    fs::create_symlink("nowhere", scratch / "link");
    CHECK(mentions(error_of<deepseek::FileError>([&] { write_pair(scratch / "link", "x"); }), "link",
                   "'nowhere', which does not exist"));
    fs::create_directories(scratch / "d" / "one");
    CHECK(mentions(error_of<deepseek::FileError>([&] { write_pair(scratch / "d", "x"); }), "d/one",
                   "is a directory, expected a file"));
    CHECK(count(scratch / "d") == 1);
}

TEST_CASE("AtomicDirectory: what an earlier version left beside a missing directory is read, and kept") {
    ScratchDirectory const scratch;
    write_pair(scratch / "d.old", "old");
    CHECK(format::existing_directory(scratch / "d") == scratch / "d");
    put(scratch / "d.old" / "config.json", "{}");
    CHECK(format::existing_directory(scratch / "d") == scratch / "d.old");
    CHECK(read_pair(scratch / "d") == "old");
    write_pair(scratch / "d", "new");
    CHECK(read_pair(scratch / "d") == "new");
    CHECK(read_pair(scratch / "d.old") == "old");
}

TEST_CASE_TEMPLATE("AtomicDirectory: proving leaves a directory as it was, and none where there was none",
                   Calls, Unsynced, NoExchange, Mounted, NoLinks) {
    ScratchDirectory const scratch;
    format::BasicAtomicDirectory<Calls>(scratch / "a" / "d", ours).prove();
    CHECK(count(scratch / "a") == 0);
    write_pair(scratch / "d", "old");
    put(scratch / "d" / "README.md", "mine");
    format::BasicAtomicDirectory<Calls>(scratch / "d", ours).prove();
    CHECK(read_pair(scratch / "d") == "old");
    CHECK(count(scratch / "d") == 3);
    CHECK(count(scratch.path()) == 2);
}

TEST_CASE_TEMPLATE("AtomicDirectory: a process that ends while proving leaves the old directory", Base,
                   Unsynced, NoLinks) {
    using Calls = Stopping<Base>;
    for (bool const fresh : {true, false}) {
        bool killed = true;
        int deaths = 0;
        for (int n = 1; killed; ++n) {
            CAPTURE(n);
            ScratchDirectory const scratch;
            if (!fresh) {
                write_pair(scratch / "d", "old");
            }
            killed = killed_at<Calls>(
                n, [&] { format::BasicAtomicDirectory<Calls>(scratch / "d", ours).prove(); });
            deaths += killed ? 1 : 0;
            auto const found = read_pair(scratch / "d");
            CHECK((found == "old" || (fresh && (found == "none" || found == "incomplete"))));
            write_pair<Base>(scratch / "d", "next");
            CHECK(read_pair(scratch / "d") == "next");
            CHECK(count(scratch / "d") == 2);
            CHECK(count(scratch.path()) == 1);
        }
        CHECK(deaths > 15);
    }
}

TEST_CASE_TEMPLATE(
    "AtomicDirectory: a process that ends at any system call leaves the old or the new directory", Base,
    Unsynced, NoExchange, Mounted, NoLinks) {
    using Calls = Stopping<Base>;
    for (bool const shared : {true, false}) {
        CAPTURE(shared);
        bool killed = true;
        int deaths = 0;
        bool seen_old = false;
        bool seen_new = false;
        for (int n = 1; killed; ++n) {
            CAPTURE(n);
            ScratchDirectory const scratch;
            write_pair(scratch / "d", "old");
            if (shared) {
                put(scratch / "d" / "README.md", "mine");
            }
            killed = killed_at<Calls>(n, [&] { write_pair<Calls>(scratch / "d", "new"); });
            deaths += killed ? 1 : 0;
            auto const found = read_pair(scratch / "d");
            CHECK((found == "old" || found == "new"));
            seen_old = seen_old || found == "old";
            seen_new = seen_new || (killed && found == "new");
            // The next writer finds its way and cleans up.
            write_pair<Base>(scratch / "d", "next");
            CHECK(read_pair(scratch / "d") == "next");
            CHECK((!shared || get(scratch / "d" / "README.md") == "mine"));
            CHECK(count(scratch / "d") == (shared ? 3 : 2));
            CHECK(count(scratch.path()) == 1);
        }
        CHECK(deaths > 15);
        CHECK(seen_old);
        CHECK(seen_new);
    }
}

TEST_CASE("AtomicDirectory: a process that ends at any system call leaves no directory, or the new one") {
    using Calls = Stopping<Unsynced>;
    bool killed = true;
    for (int n = 1; killed; ++n) {
        CAPTURE(n);
        ScratchDirectory const scratch;
        killed = killed_at<Calls>(n, [&] { write_pair<Calls>(scratch / "d", "new"); });
        auto const found = read_pair(scratch / "d");
        CHECK((found == "none" || found == "new"));
        write_pair(scratch / "d", "next");
        CHECK(read_pair(scratch / "d") == "next");
        CHECK(count(scratch.path()) == 1);
    }
}

TEST_CASE(
    "AtomicDirectory: a process that ends while another's crash is mended leaves the old or the new "
    "directory") {
    using Calls = Stopping<NoLinks>;
    // The first ends among the files that move up.
    for (int first = 1; first < 60; ++first) {
        ScratchDirectory const scratch;
        write_pair(scratch / "d", "old");
        if (!killed_at<Calls>(first, [&] { write_pair<Calls>(scratch / "d", "new"); })) {
            break;
        }
        if (!fs::exists(scratch / "d" / ".deepseek-commit")) {
            continue;
        }
        for (int second = 1; second < 60; second += 3) {
            CAPTURE(first);
            CAPTURE(second);
            if (!killed_at<Calls>(second,
                                  [&] { format::BasicAtomicDirectory<Calls>(scratch / "d", ours); })) {
                break;
            }
            CHECK(read_pair(scratch / "d") == "new");
        }
        CHECK(read_pair(scratch / "d") == "new");
    }
}

TEST_CASE_TEMPLATE(
    "AtomicDirectory: a system call that fails is an error with the old directory in place, or none", Base,
    Unsynced, NoExchange, NoLinks) {
    using Calls = Stopping<Base>;
    Calls::fail_with = ENOSPC;
    int failures = 0;
    for (int n = 1;; ++n) {
        CAPTURE(n);
        ScratchDirectory const scratch;
        write_pair(scratch / "d", "old");
        Calls::calls = 0;
        Calls::stop_at = n;
        bool failed = false;
        try {
            write_pair<Calls>(scratch / "d", "new");
        } catch (deepseek::FileError const& error) {
            failed = true;
            CHECK(mentions(error.what(), scratch.path().native(), "No space left on device"));
        }
        bool const reached = Calls::calls >= n;
        Calls::stop_at = 0;
        auto const found = read_pair(scratch / "d");
        // After the swap only syncing the parent can fail; the new directory is then in place.
        CHECK((found == "new" || (failed && found == "old")));
        write_pair(scratch / "d", "next");
        CHECK(read_pair(scratch / "d") == "next");
        CHECK(count(scratch.path()) == 1);
        failures += failed ? 1 : 0;
        if (!reached) {
            break;
        }
    }
    CHECK(failures > 10);
}
