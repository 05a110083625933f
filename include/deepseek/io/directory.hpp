// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_IO_DIRECTORY_HPP
#define DEEPSEEK_IO_DIRECTORY_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/io/file.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

// Directories that are replaced as a whole: what several files need that only mean something together.

namespace deepseek::inline DEEPSEEK_ABI::io {

namespace detail {

// The system calls behind AtomicDirectory. Tests replace them by calls that fail, or end the process.
struct DirectoryCalls : deepseek::detail::PosixCalls {
    static int mkdir(char const* path) { return ::mkdir(path, 0777); }
    static int rmdir(char const* path) { return ::rmdir(path); }
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

// Whether a path leads somewhere. What cannot be looked at shows when it is used.
inline bool exists(std::filesystem::path const& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
}
inline bool is_directory(std::filesystem::path const& path) {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored);
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

}  // namespace detail

/// The directory to read where `path` was asked for: `path` itself, or the complete old one beside it if the machine
/// stopped in the middle of replacing it (possible only on file systems that cannot swap two names).
inline std::filesystem::path existing_directory(std::filesystem::path const& path) {
    auto const normal = path.has_filename() ? path : path.parent_path();
    std::filesystem::path const old = normal.native() + ".old";
    return !detail::exists(normal) && detail::is_directory(old) ? old : path;
}

/// Writes a directory that appears under its name whole or not at all. Files are written to path() / name; a commit()
/// then makes the new directory take the old one's place, in one step where the file system can swap names. At every
/// moment, also after a crash or a power cut, `existing_directory` leads to a complete directory, the old or the new.
///
/// The work happens in a sibling directory with ".tmp" behind the name. What a crash leaves behind is removed by the
/// next writer. A second writer at the same time is refused.
///
/// Only names for which `owns` is true are ever deleted; everything else the old directory holds moves into the new.
///
/// Errors:    FileError naming path and cause
template <class Calls = detail::DirectoryCalls>
class BasicAtomicDirectory {
public:
    using Owns = std::function<bool(std::string_view)>;
    using File = deepseek::BasicAtomicFile<Calls>;

    BasicAtomicDirectory(std::filesystem::path const& target, Owns owns) : owns_(std::move(owns)) {
        namespace fs = std::filesystem;
        std::error_code code;
        target_ = fs::weakly_canonical(
            fs::absolute(target.has_filename() ? target : target.parent_path(), code), code);
        expects<FileError>(!code && target_.has_filename(), target.native(),
                           ": cannot be replaced as a directory");
        expects<FileError>(!detail::exists(target_) || detail::is_directory(target_), target.native(),
                           ": exists and is not a directory");
        temporary_ = target_.native() + ".tmp";
        old_ = target_.native() + ".old";
        fs::create_directories(target_.parent_path(), code);
        if (code) {
            deepseek::detail::throw_file_error(target_.parent_path(), "cannot create the directory",
                                               code.value());
        }
        clear_leftovers();
        if (Calls::mkdir(temporary_.c_str()) != 0) {
            deepseek::detail::throw_file_error(temporary_, "cannot create the directory", errno);
        }
        open_ = true;
        try {
            lock();
        } catch (...) {
            Calls::rmdir(temporary_.c_str());  // does nothing if somebody else already writes there
            throw;
        }
    }
    BasicAtomicDirectory(BasicAtomicDirectory const&) = delete;
    BasicAtomicDirectory& operator=(BasicAtomicDirectory const&) = delete;
    ~BasicAtomicDirectory() {
        if (open_) {
            discard(temporary_);
        }
    }

    /// Where the files of the new directory are written.
    std::filesystem::path const& path() const { return temporary_; }
    /// What the directory will be called.
    std::filesystem::path const& target() const { return target_; }

    /// Puts the new directory in place of the old one. All files must be complete and synced.
    void commit() {
        sync_directory<Calls>(temporary_);
        auto retired = temporary_;
        if (!detail::exists(target_)) {
            rename(temporary_, target_);
            open_ = false;
            sync_directory<Calls>(target_.parent_path());
            return;
        }
        if (Calls::exchange(temporary_.c_str(), target_.c_str()) != 0) {
            if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) {
                deepseek::detail::throw_file_error(target_, "cannot put the new directory in its place",
                                                   errno);
            }
            rename(target_, old_);
            try {
                rename(temporary_, target_);
            } catch (...) {
                Calls::rename(old_.c_str(), target_.c_str());
                throw;
            }
            retired = old_;
        }
        open_ = false;
        sync_directory<Calls>(target_.parent_path());
        // The new directory is safe. What cannot be removed now is a leftover for the next writer to complain of.
        retire(retired);
    }

private:
    static void rename(std::filesystem::path const& from, std::filesystem::path const& to) {
        if (Calls::rename(from.c_str(), to.c_str()) != 0) {
            deepseek::detail::throw_file_error(to, message("cannot rename ", from.native(), " to it"), errno);
        }
    }

    void lock() {
        lock_ = deepseek::detail::open_descriptor<Calls>(temporary_, O_RDONLY | O_DIRECTORY,
                                                         "cannot open the directory");
        // File systems without locks go without.
        expects<FileError>(Calls::lock(lock_.get()) == 0 || errno != EWOULDBLOCK, target_.native(),
                           ": is being written by another process");
    }

    void clear_leftovers() {
        if (!detail::exists(target_) && detail::is_directory(old_)) {
            rename(old_, target_);
            sync_directory<Calls>(target_.parent_path());
        }
        for (auto const& leftover : {temporary_, old_}) {
            if (detail::is_directory(leftover)) {
                if (leftover == temporary_) {
                    lock();
                }
                retire(leftover);
                expects<FileError>(!detail::exists(leftover), leftover.native(),
                                   ": cannot be removed; it was left behind by an interrupted write");
            }
        }
    }

    // Removes a directory whose successor is in place: its own files go, others move to the successor.
    void retire(std::filesystem::path const& directory) {
        for (auto const& name : detail::names_in(directory)) {
            if (!owned(name.native()) && detail::is_directory(target_)) {
                auto to = target_ / name;
                while (detail::exists(to)) {
                    to += ".old";
                }
                Calls::rename((directory / name).c_str(), to.c_str());
            }
        }
        discard(directory);
    }

    // Removes what belongs to us in a directory, and the directory if nothing remains.
    void discard(std::filesystem::path const& directory) {
        for (auto const& name : detail::names_in(directory)) {
            if (owned(name.native())) {
                Calls::unlink((directory / name).c_str());
            }
        }
        Calls::rmdir(directory.c_str());
    }

    // A name we may delete: claimed by the owner, or the temporary file of an AtomicFile for such a name.
    bool owned(std::string_view name) const { return owns_(name.substr(0, name.find(".tmp-"))); }

    std::filesystem::path target_;
    std::filesystem::path temporary_;
    std::filesystem::path old_;
    Owns owns_;
    deepseek::detail::Descriptor<Calls> lock_;
    bool open_ = false;  // temporary_ exists and is ours
};

/// The writer of directories, with the operating system's own calls.
using AtomicDirectory = BasicAtomicDirectory<>;

}  // namespace deepseek::inline DEEPSEEK_ABI::io

#endif
