// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_DIRECTORY_LOCK_HPP
#define DEEPSEEK_FORMAT_DIRECTORY_LOCK_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/format/directory_calls.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/messages.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace deepseek::inline DEEPSEEK_ABI::format {

namespace detail {

// Who holds a lock, for those who meet it.
inline std::string lock_holder() {
    char host[256] = "?";
    ::gethostname(host, sizeof host - 1);
    char time[32] = "";
    std::time_t const now = std::time(nullptr);
    std::tm utc{};
    std::strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S UTC", ::gmtime_r(&now, &utc));
    return message("process ", static_cast<long>(::getpid()), " on ", host, " since ", time, "\n");
}

// A file held locked.
template <class Calls>
class LockFile {
public:
    LockFile() = default;
    LockFile(LockFile const&) = delete;
    LockFile& operator=(LockFile const&) = delete;
    ~LockFile() {
        // Gone under the lock: whoever had it open before finds that its name leads elsewhere, and tries again.
        if (fd_ && is_at_path()) {
            Calls::unlink(path_.c_str());
        }
    }
    explicit operator bool() const { return static_cast<bool>(fd_); }

    // 0, or why the file cannot be made; an error naming `target` where another holds it.
    int acquire(std::filesystem::path const& path, std::filesystem::path const& target) {
        path_ = path;
        for (int attempt = 0;; ++attempt) {
            if (auto const code = open(); code != 0) {
                return code;
            }
            // EWOULDBLOCK is the one answer of locks that work; file systems without any go without.
            if (Calls::lock(fd_.get()) != 0 && errno == EWOULDBLOCK) {
                refuse(target);
            }
            if (is_at_path()) {
                break;
            }
            expects<FileError>(attempt < 1000, in_quotes(path.native()), ": is replaced all the time");
        }
        auto const holder = lock_holder();  // if it cannot be written, the lock holds all the same
        if (::ftruncate(fd_.get(), 0) == 0) {
            [[maybe_unused]] auto const written = Calls::write(fd_.get(), holder.data(), holder.size());
        }
        return 0;
    }

private:
    int open() {
        using deepseek::detail::Descriptor;
        constexpr int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        fd_ = Descriptor<Calls>(Calls::open(path_.c_str(), O_RDWR | O_CREAT | flags, 0666));
        auto code = fd_ ? 0 : errno;
        if (code == EACCES || code == EPERM || code == EROFS) {
            fd_ = Descriptor<Calls>(Calls::open(path_.c_str(), O_RDONLY | flags, 0));  // somebody else's
            code = fd_ ? 0 : errno;
        }
        if (code == EACCES || code == EPERM || code == EROFS || code == ENOENT || code == ENAMETOOLONG) {
            return code;
        }
        if (code != 0) {
            deepseek::detail::throw_file_error(path_, "cannot open the lock", code);
        }
        struct stat status {};
        expects<FileError>(::fstat(fd_.get(), &status) == 0 && S_ISREG(status.st_mode),
                           in_quotes(path_.native()), ": is no regular file, so it cannot be a lock");
        return 0;
    }
    bool is_at_path() const {
        struct stat here {};
        struct stat there {};
        return ::fstat(fd_.get(), &here) == 0 && ::lstat(path_.c_str(), &there) == 0 &&
               here.st_dev == there.st_dev && here.st_ino == there.st_ino;
    }
    [[noreturn]] void refuse(std::filesystem::path const& target) {
        char text[256];
        auto const count = Calls::read(fd_.get(), text, sizeof text);
        std::string_view holder(text, count > 0 ? static_cast<std::size_t>(count) : 0);
        holder = holder.substr(0, holder.find('\n'));
        fd_ = {};
        throw FileError(message(in_quotes(target.native()), ": is being written by ",
                                holder.empty() ? "another process" : shortened(holder), ", which holds ",
                                in_quotes(path_.native())));
    }

    std::filesystem::path path_;
    deepseek::detail::Descriptor<Calls> fd_;
};

}  // namespace detail

/// The right to write a directory, exclusive among all who ask for it, in this process and in others, for as long as
/// the object lives. The directory need not exist yet; the directory it lies in is made.
///
/// The lock is a file beside the directory, `.<name>.deepseek-lock`, which stays the same while the directory is
/// replaced; inside it, `.deepseek-lock`, where nothing can be created beside it, and as well where it is a mount point
/// or where somebody else holds that one. The file says who holds it and is removed at the end; what a dead process
/// leaves behind holds nobody up.
///
/// File systems without locks (flock) give no protection; between machines it is as good as the network file system's.
///
/// Errors:    FileError if the path cannot be a directory, if no lock can be created, or that says who holds it
template <class Calls = detail::DirectoryCalls>
class BasicDirectoryLock {
public:
    explicit BasicDirectoryLock(std::filesystem::path const& directory)
        : target_(detail::directory_target(directory)) {
        detail::make_parent(target_);
        auto const inner = detail::own_inside(target_, "lock");
        auto code = beside_.acquire(detail::own_beside(target_, "lock"), target_);
        if (detail::is_directory(target_) && (code != 0 || detail::exists(inner) || is_mount_point())) {
            code = inside_.acquire(inner, target_);
        }
        if (!beside_ && !inside_) {
            deepseek::detail::throw_file_error(target_, "cannot create a lock beside it or in it", code);
        }
    }
    BasicDirectoryLock(BasicDirectoryLock const&) = delete;
    BasicDirectoryLock& operator=(BasicDirectoryLock const&) = delete;
    ~BasicDirectoryLock() = default;

    /// The directory, as an absolute path without links.
    std::filesystem::path const& target() const { return target_; }
    /// Whether the lock lies in the directory itself, which must then not be replaced.
    bool inside() const { return static_cast<bool>(inside_); }

private:
    bool is_mount_point() const {
        struct stat here {};
        struct stat above {};
        return ::stat(target_.c_str(), &here) == 0 && ::stat(target_.parent_path().c_str(), &above) == 0 &&
               here.st_dev != above.st_dev;
    }

    std::filesystem::path target_;
    detail::LockFile<Calls> beside_;
    detail::LockFile<Calls> inside_;
};

/// The lock, with the operating system's own calls.
using DirectoryLock = BasicDirectoryLock<>;

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
