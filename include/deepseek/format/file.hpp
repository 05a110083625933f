// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_FILE_HPP
#define DEEPSEEK_FORMAT_FILE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

// Files as the operating system has them. Every error is a FileError that names the path and the cause.

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

[[noreturn]] inline void throw_file_error(std::filesystem::path const& path, std::string_view action,
                                          int code) {
    throw FileError(message(path.native(), ": ", action, ": ", std::generic_category().message(code)));
}

// The system calls behind files. Tests replace them by calls that fail one after the other.
struct PosixCalls {
    static int open(char const* path, int flags, mode_t mode) {
        return ::open(path, flags | O_CLOEXEC, mode);
    }
    static ssize_t read(int fd, void* data, std::size_t size) { return ::read(fd, data, size); }
    static ssize_t write(int fd, void const* data, std::size_t size) { return ::write(fd, data, size); }
    static int fsync(int fd) { return ::fsync(fd); }
    static int close(int fd) { return ::close(fd); }
    static int rename(char const* from, char const* to) { return ::rename(from, to); }
    static int unlink(char const* path) { return ::unlink(path); }
    static int fchmod(int fd, mode_t mode) { return ::fchmod(fd, mode); }
    static int fchown(int fd, uid_t user, gid_t group) { return ::fchown(fd, user, group); }
};

// An open file descriptor, closed on destruction.
template <class Calls = PosixCalls>
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor() {
        if (fd_ >= 0) {
            Calls::close(fd_);
        }
    }
    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

template <class Calls = PosixCalls>
Descriptor<Calls> open_descriptor(std::filesystem::path const& path, int flags, std::string_view action) {
    int fd = -1;
    do {
        fd = Calls::open(path.c_str(), flags, 0666);  // the umask takes away what it should
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        throw_file_error(path, action, errno);
    }
    return Descriptor<Calls>(fd);
}

// A regular file to read, and its status. Pipes, devices and directories are refused, without waiting for anybody.
inline Descriptor<> open_regular_file(std::filesystem::path const& path, struct stat& status) {
    // O_NONBLOCK: opening a pipe must fail below, not wait for somebody to write to it.
    auto fd = open_descriptor(path, O_RDONLY | O_NONBLOCK, "cannot open");
    if (::fstat(fd.get(), &status) != 0) {
        throw_file_error(path, "cannot read its status", errno);
    }
    expects<FileError>(
        S_ISREG(status.st_mode), path.native(),
        S_ISDIR(status.st_mode) ? ": is a directory, expected a file" : ": is not a regular file");
    return fd;
}

// The directory a path lies in, as something that can be opened.
inline std::filesystem::path directory_of(std::filesystem::path const& path) {
    auto const parent = path.parent_path();
    return parent.empty() ? std::filesystem::path(".") : parent;
}

}  // namespace detail

/// A regular file in memory, read-only and shared with the page cache. Movable; the mapping ends with the object.
///
/// An empty file is an empty span. If another process shortens the file while it is mapped, touching the lost pages
/// raises SIGBUS: map only files that nobody rewrites in place (AtomicFile replaces files, it never does).
///
/// Errors:    FileError if the file is missing, unreadable, or not a regular file
class MappedFile {
public:
    MappedFile() = default;
    explicit MappedFile(std::filesystem::path path) : path_(std::move(path)) {
        struct stat status {};
        auto const fd = detail::open_regular_file(path_, status);
        size_ = static_cast<std::size_t>(status.st_size);
        if (size_ == 0) {
            return;  // mmap refuses a length of zero
        }
        void* const base = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
        if (base == MAP_FAILED) {
            detail::throw_file_error(path_, "cannot map into memory", errno);
        }
        base_ = static_cast<std::byte const*>(base);
    }
    MappedFile(MappedFile&& other) noexcept
        : path_(std::move(other.path_)),
          base_(std::exchange(other.base_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    MappedFile& operator=(MappedFile&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(base_, other.base_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~MappedFile() {
        if (base_ != nullptr) {
            ::munmap(const_cast<std::byte*>(base_), size_);
        }
    }

    std::filesystem::path const& path() const { return path_; }
    index_t size() const { return static_cast<index_t>(size_); }
    std::span<std::byte const> bytes() const { return {base_, size_}; }
    std::string_view text() const { return {reinterpret_cast<char const*>(base_), size_}; }

    /// Reads a part into memory at once, not page by page when it is touched. A part of something else is left alone.
    void prefetch(std::span<std::byte const> part) const {
#ifdef MADV_POPULATE_READ
        advise(part, MADV_POPULATE_READ);  // what fails here fails, or does not, where it is touched
#else
        advise(part, MADV_WILLNEED);
#endif
    }
    /// Gives back the memory of a part, which stays mapped and in the system's page cache. Likewise.
    void release(std::span<std::byte const> part) const { advise(part, MADV_DONTNEED); }

private:
    void advise(std::span<std::byte const> part, int advice) const {
        if (part.empty() || base_ == nullptr || part.data() < base_ || part.data() >= base_ + size_) {
            return;
        }
        auto const page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        auto const begin = static_cast<std::size_t>(part.data() - base_) / page * page;
        auto const end = static_cast<std::size_t>(part.data() - base_) + part.size();
        ::madvise(const_cast<std::byte*>(base_ + begin), end - begin, advice);
    }

    std::filesystem::path path_;
    std::byte const* base_ = nullptr;
    std::size_t size_ = 0;
};

/// The whole contents of a file. Unlike MappedFile it also reads pipes and devices such as /dev/stdin.
///
/// Errors:    FileError if the file is missing, unreadable or a directory
inline std::string read_file(std::filesystem::path const& path) {
    auto const fd = detail::open_descriptor(path, O_RDONLY, "cannot open");
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
        detail::throw_file_error(path, "cannot read its status", errno);
    }
    expects<FileError>(!S_ISDIR(status.st_mode), path.native(), ": is a directory, expected a file");
    std::string contents;
    // One byte more than the size lets the last read of a regular file see the end without growing the string.
    std::size_t step =
        S_ISREG(status.st_mode) ? static_cast<std::size_t>(status.st_size) + 1 : std::size_t{1} << 16U;
    for (;;) {
        auto const old_size = contents.size();
        contents.resize(old_size + step);
        auto const count = detail::PosixCalls::read(fd.get(), contents.data() + old_size, step);
        contents.resize(old_size + (count > 0 ? static_cast<std::size_t>(count) : 0));
        if (count == 0) {
            return contents;
        }
        if (count < 0 && errno != EINTR) {
            detail::throw_file_error(path, "cannot read", errno);
        }
        step = std::size_t{1} << 16U;
    }
}

/// The whole contents of a regular file that is expected to be small: it is refused, unread, if it has more than `most`
/// bytes, and so are pipes and devices, which might never end.
///
/// Errors:    FileError if the file is missing, unreadable, not a regular file, or too large
inline std::string read_small_file(std::filesystem::path const& path, index_t most = index_t{64} << 20) {
    struct stat status {};
    auto const fd = detail::open_regular_file(path, status);
    std::string contents;
    for (std::size_t step = static_cast<std::size_t>(status.st_size) + 1;; step = std::size_t{1} << 16U) {
        expects<FileError>(static_cast<index_t>(contents.size()) <= most && status.st_size <= most,
                           path.native(), ": has ", status.st_size, " bytes, expected at most ", most);
        auto const old_size = contents.size();
        contents.resize(old_size + step);
        auto const count = detail::PosixCalls::read(fd.get(), contents.data() + old_size, step);
        contents.resize(old_size + (count > 0 ? static_cast<std::size_t>(count) : 0));
        if (count == 0) {
            return contents;
        }
        if (count < 0 && errno != EINTR) {
            detail::throw_file_error(path, "cannot read", errno);
        }
    }
}

/// Makes renames and new names in a directory survive a power cut.
///
/// Errors:    FileError naming the directory and the cause
template <class Calls = detail::PosixCalls>
void sync_directory(std::filesystem::path const& directory) {
    auto const fd =
        detail::open_descriptor<Calls>(directory, O_RDONLY | O_DIRECTORY, "cannot open the directory");
    // Some file systems cannot sync a directory and say EINVAL; there is nothing more to be done on those.
    if (Calls::fsync(fd.get()) != 0 && errno != EINVAL) {
        detail::throw_file_error(directory, "cannot sync the directory", errno);
    }
}

/// Renames a file or a directory and makes the new name durable. Replaces an existing file, or an empty directory.
///
/// Errors:    FileError naming the new name and the cause
template <class Calls = detail::PosixCalls>
void rename_durably(std::filesystem::path const& from, std::filesystem::path const& to) {
    if (Calls::rename(from.c_str(), to.c_str()) != 0) {
        detail::throw_file_error(to, message("cannot rename ", from.native(), " to it"), errno);
    }
    sync_directory<Calls>(detail::directory_of(to));
}

/// Writes a file that appears under its name whole or not at all: a temporary file beside it, fsync, rename, fsync of
/// the directory. Until commit() is called, whatever had the name before is untouched; a writer destroyed without
/// commit() removes its temporary file and nothing else.
///
/// To write several files together, sync() all of them first and commit() each then: what can run out of space has
/// happened before the first name changes. A symbolic link stays; the file it points to is replaced. Permissions, and
/// owner and group where the system allows it, are those of the file replaced, or of `like` where that is given.
///
/// Errors:    FileError naming the path and the cause (no such directory, no space, no permission, …)
template <class Calls = detail::PosixCalls>
class BasicAtomicFile {
public:
    explicit BasicAtomicFile(std::filesystem::path const& path, std::filesystem::path const& like = {})
        : path_(path) {
        namespace fs = std::filesystem;
        std::error_code ignored;  // a missing file is the usual case; anything worse shows when it is opened
        if (fs::is_symlink(path, ignored)) {
            path_ = fs::weakly_canonical(path, ignored);
        }
        auto const status = fs::status(path_, ignored);
        expects<FileError>(!fs::exists(status) || fs::is_regular_file(status), path.native(),
                           ": exists and is not a regular file, so it cannot be replaced");
        struct stat replaced {};
        bool const replaces =
            ::stat((like.empty() ? path_ : like).c_str(), &replaced) == 0 && S_ISREG(replaced.st_mode);
        // O_EXCL: never write into a file somebody else made. The process id keeps concurrent writers apart, the number
        // keeps writers of one process apart.
        for (int attempt = 0;; ++attempt) {
            temporary_ = path_;
            temporary_ += message(".deepseek-tmp-", static_cast<long>(::getpid()), "-", attempt);
            int const fd =
                Calls::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL, replaces ? 0600 : 0666);
            if (fd >= 0) {
                file_ = detail::Descriptor<Calls>(fd);
                if (replaces) {
                    keep_permissions(replaced);
                }
                return;
            }
            if (errno != EEXIST && errno != EINTR) {
                auto const code = errno;
                temporary_.clear();
                detail::throw_file_error(path_, "cannot create", code);
            }
        }
    }
    BasicAtomicFile(BasicAtomicFile&& other) noexcept
        : path_(std::move(other.path_)),
          temporary_(std::exchange(other.temporary_, {})),
          buffer_(std::exchange(other.buffer_, {})),
          file_(std::move(other.file_)),
          synced_(other.synced_) {}
    BasicAtomicFile& operator=(BasicAtomicFile&&) = delete;
    ~BasicAtomicFile() {
        if (!temporary_.empty()) {
            Calls::unlink(temporary_.c_str());
        }
    }

    std::filesystem::path const& path() const { return path_; }

    /// Appends bytes; small pieces are gathered.
    void write(std::string_view bytes) {
        expects(!synced_, path_.native(), ": written to after sync()");
        if (buffer_.size() + bytes.size() < kBufferBytes) {
            buffer_ += bytes;
            return;
        }
        flush();
        if (bytes.size() < kBufferBytes) {
            buffer_ = bytes;
        } else {
            write_all(bytes);
        }
    }
    void write(std::span<std::byte const> bytes) {
        write(std::string_view(reinterpret_cast<char const*>(bytes.data()), bytes.size()));
    }

    /// Brings everything to the disk, still under the temporary name. Nothing can be written afterwards.
    void sync() {
        if (synced_) {
            return;
        }
        flush();
        if (Calls::fsync(file_.get()) != 0) {
            detail::throw_file_error(path_, "cannot write to the disk", errno);
        }
        // Network file systems report lost writes here.
        if (Calls::close(file_.release()) != 0 && errno != EINTR) {
            detail::throw_file_error(path_, "cannot close", errno);
        }
        synced_ = true;
    }

    /// Gives the file its name.
    void commit() {
        expects(!temporary_.empty(), path_.native(), ": committed twice");
        sync();
        if (Calls::rename(temporary_.c_str(), path_.c_str()) != 0) {
            detail::throw_file_error(path_, "cannot rename the finished file to it", errno);
        }
        temporary_.clear();
        sync_directory<Calls>(detail::directory_of(path_));
    }

private:
    static constexpr std::size_t kBufferBytes = std::size_t{1} << 18U;

    // Where the group cannot be kept, another one gets no more than everybody. What then fails leaves less, not more.
    void keep_permissions(struct stat const& replaced) {
        struct stat own {};
        auto mode = replaced.st_mode & 0777U;
        if (::fstat(file_.get(), &own) != 0) {
            return;
        }
        if ((own.st_uid != replaced.st_uid || own.st_gid != replaced.st_gid) &&
            Calls::fchown(file_.get(), replaced.st_uid, replaced.st_gid) != 0 &&
            Calls::fchown(file_.get(), static_cast<uid_t>(-1), replaced.st_gid) != 0) {
            mode &= 0707U | ((mode & 07U) << 3U);
        }
        [[maybe_unused]] auto const kept = Calls::fchmod(file_.get(), mode);
    }

    void flush() {
        write_all(buffer_);
        buffer_.clear();
    }
    void write_all(std::string_view bytes) {
        while (!bytes.empty()) {
            auto const count = Calls::write(file_.get(), bytes.data(), bytes.size());
            if (count == 0 || (count < 0 && errno != EINTR)) {
                detail::throw_file_error(path_, "cannot write", count == 0 ? EIO : errno);
            }
            bytes.remove_prefix(count > 0 ? static_cast<std::size_t>(count) : 0);
        }
    }

    std::filesystem::path path_;
    std::filesystem::path temporary_;  // empty: nothing to remove
    std::string buffer_;
    detail::Descriptor<Calls> file_;
    bool synced_ = false;
};

/// The writer of files, with the operating system's own calls.
using AtomicFile = BasicAtomicFile<>;

/// Replaces a file by `contents`, whole or not at all; see AtomicFile.
inline void write_file_atomically(std::filesystem::path const& path, std::string_view contents) {
    AtomicFile file(path);
    file.write(contents);
    file.commit();
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
