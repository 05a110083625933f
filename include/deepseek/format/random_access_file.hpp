// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_RANDOM_ACCESS_FILE_HPP
#define DEEPSEEK_FORMAT_RANDOM_ACCESS_FILE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/messages.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI {

/// A regular file of which parts are read at any place. Unlike a mapping it survives that somebody shortens or rewrites
/// the file meanwhile: that is an error, never other contents and never a signal. A file that is replaced by another of
/// its name goes on being the old one.
///
/// Errors:    FileError if the file is missing, unreadable, or not a regular file
class RandomAccessFile {
public:
    explicit RandomAccessFile(std::filesystem::path path) : path_(std::move(path)) {
        fd_ = detail::open_regular_file(path_, opened_);
    }

    std::filesystem::path const& path() const { return path_; }
    /// Bytes, when it was opened.
    index_t size() const { return static_cast<index_t>(opened_.st_size); }

    /// Reads the bytes [begin, begin + out.size()). May be called from several threads at once.
    ///
    /// Errors:    FileError that names the file, and its size now and when it was opened, if it was changed since, or
    ///            if the range passes the end
    /// Cost:      two system calls
    void read(index_t begin, std::span<std::byte> out) const {
        auto offset = static_cast<off_t>(begin);
        while (!out.empty()) {
            auto const count = ::pread(fd_.get(), out.data(), out.size(), offset);
            if (count < 0 && errno != EINTR) {
                detail::throw_file_error(path_, "cannot read", errno);
            }
            if (count == 0) {
                break;
            }
            offset += count > 0 ? count : 0;
            out = out.subspan(count > 0 ? static_cast<std::size_t>(count) : 0);
        }
        struct stat now {};
        if (::fstat(fd_.get(), &now) != 0) {
            detail::throw_file_error(path_, "cannot read its status", errno);
        }
        if (!out.empty() || !is_as_opened(now)) {
            check(now, out.size());
        }
    }

private:
    bool is_as_opened(struct stat const& now) const {
        return now.st_size == opened_.st_size && now.st_mtim.tv_sec == opened_.st_mtim.tv_sec &&
               now.st_mtim.tv_nsec == opened_.st_mtim.tv_nsec;
    }
    // Apart from read, which must not make words of a path that is in order.
    void check(struct stat const& now, std::size_t missing) const {
        expects<FileError>(now.st_size == opened_.st_size, format::detail::in_quotes(path_.native()),
                           ": has ", now.st_size, " bytes, it had ", opened_.st_size, " when it was opened");
        expects<FileError>(
            now.st_mtim.tv_sec == opened_.st_mtim.tv_sec && now.st_mtim.tv_nsec == opened_.st_mtim.tv_nsec,
            format::detail::in_quotes(path_.native()), ": was written to since it was opened");
        expects<FileError>(missing == 0, format::detail::in_quotes(path_.native()), ": ends ", missing,
                           " bytes before the end of what was to be read");
    }

    std::filesystem::path path_;
    detail::Descriptor<> fd_;
    struct stat opened_ {};
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
