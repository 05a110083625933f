// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_DIRECTORY_CALLS_HPP
#define DEEPSEEK_FORMAT_DIRECTORY_CALLS_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/messages.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

// What directory_lock.hpp and directory.hpp share: system calls, questions to paths, and names of our own.

namespace deepseek::inline DEEPSEEK_ABI::format::detail {

// The system calls behind directories. Tests replace them by calls that fail, or end the process.
struct DirectoryCalls : deepseek::detail::PosixCalls {
    static int mkdir(char const* path) { return ::mkdir(path, 0777); }
    static int rmdir(char const* path) { return ::rmdir(path); }
    static int chmod(char const* path, mode_t mode) { return ::chmod(path, mode); }
    static int chown(char const* path, uid_t user, gid_t group) { return ::lchown(path, user, group); }
    static int link(char const* from, char const* to) { return ::link(from, to); }
    static int lock(int fd) { return ::flock(fd, LOCK_EX | LOCK_NB); }
    // Swaps two names at once. Some systems and file systems cannot.
    static int exchange([[maybe_unused]] char const* one, [[maybe_unused]] char const* other) {
#if defined(RENAME_EXCHANGE)
        return ::renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
#else
        errno = ENOSYS;
        return -1;
#endif
    }
};

// Whether a path leads somewhere, or may: what cannot be looked at shows when it is used.
inline bool exists(std::filesystem::path const& path) {
    std::error_code ignored;
    return std::filesystem::status(path, ignored).type() != std::filesystem::file_type::not_found;
}
inline bool is_directory(std::filesystem::path const& path) {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored);
}
// A directory itself and no link to one: what may be emptied.
inline bool is_real_directory(std::filesystem::path const& path) {
    std::error_code ignored;
    return std::filesystem::is_directory(std::filesystem::symlink_status(path, ignored));
}
// Whether two paths, links followed, lead to the same file or directory.
inline bool is_same(std::filesystem::path const& one, std::filesystem::path const& other) {
    struct stat a {};
    struct stat b {};
    return ::stat(one.c_str(), &a) == 0 && ::stat(other.c_str(), &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

// The names in a directory; none if it cannot be read.
inline std::vector<std::filesystem::path> names_in(std::filesystem::path const& directory) {
    namespace fs = std::filesystem;
    std::vector<fs::path> names;
    std::error_code code;
    for (fs::directory_iterator entry(directory, code), end; !code && entry != end; entry.increment(code)) {
        names.push_back(entry->path().filename());
    }
    return names;
}

// Whether somebody works in a directory, as far as can be seen: this process; where there is a /proc, also the others
// that it shows. They would go on in a directory of another name.
inline bool is_working_directory(std::filesystem::path const& directory) {
    if (is_same(directory, ".")) {
        return true;
    }
    auto const processes = names_in("/proc");
    return std::any_of(processes.begin(), processes.end(), [&](std::filesystem::path const& process) {
        return process.native().find_first_not_of("0123456789") == std::string::npos &&
               is_same(directory, "/proc" / process / "cwd");
    });
}

// Names that this library gives to what it makes for a while begin with a mark, so that nothing of anybody else's is
// taken for them: inside a directory `.deepseek-new`, beside it `.<its name>.deepseek-new`.
inline constexpr std::string_view kOwnMark = ".deepseek-";

inline std::filesystem::path own_inside(std::filesystem::path const& directory, std::string_view what) {
    return directory / message(kOwnMark, what);
}
inline std::filesystem::path own_beside(std::filesystem::path const& directory, std::string_view what) {
    return directory.parent_path() / message(".", directory.filename().native(), kOwnMark, what);
}

// The absolute path, free of links, of a directory to write.
inline std::filesystem::path directory_target(std::filesystem::path const& path) {
    namespace fs = std::filesystem;
    expects<FileError>(!path.empty(), "an empty path cannot be a directory");
    std::error_code code;
    auto const absolute = fs::absolute(path.has_filename() ? path : path.parent_path(), code);
    auto target = code ? fs::path() : fs::weakly_canonical(absolute, code);
    if (!target.has_filename()) {
        target = target.parent_path();  // of "missing/."
    }
    if (code) {
        deepseek::detail::throw_file_error(path, "cannot be looked at", code.value());
    }
    expects<FileError>(target.has_filename(), in_quotes(path.native()),
                       ": cannot be replaced as a directory");
    if (std::error_code ignored; fs::is_symlink(target, ignored)) {  // otherwise it would have been followed
        throw FileError(message(in_quotes(path.native()), ": is a symbolic link to ",
                                in_quotes(fs::read_symlink(target, ignored).native()),
                                ", which does not exist"));
    }
    expects<FileError>(!detail::exists(target) || detail::is_directory(target), in_quotes(path.native()),
                       ": exists and is not a directory");
    return target;
}

// Makes the directory that a target lies in.
inline void make_parent(std::filesystem::path const& target) {
    std::error_code code;
    std::filesystem::create_directories(target.parent_path(), code);
    if (code) {
        deepseek::detail::throw_file_error(target.parent_path(), "cannot create the directory", code.value());
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format::detail

#endif
