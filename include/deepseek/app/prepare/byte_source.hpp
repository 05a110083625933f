// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_BYTE_SOURCE_HPP
#define DEEPSEEK_APP_PREPARE_BYTE_SOURCE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/file.hpp>

#ifdef DEEPSEEK_LINKS_ZLIB
#include <zlib.h>
#endif
#ifdef DEEPSEEK_LINKS_ZSTD
#include <zstd.h>
#endif

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The bytes of a file in order, unpacked where it is compressed with gzip or Zstandard. The compressions are there where
// the program is linked with their libraries: -DDEEPSEEK_LINKS_ZLIB -lz, -DDEEPSEEK_LINKS_ZSTD -lzstd.

namespace deepseek::inline DEEPSEEK_ABI::app {

/// A file to read: a regular one by its path, or a pipe, whose contents were read already.
struct InputFile {
    std::filesystem::path path;
    std::optional<std::string> contents{};  ///< of a pipe or device
    index_t bytes = 0;
    index_t modified = 0;  ///< nanoseconds since the epoch
};

/// Bytes in order.
class ByteSource {
public:
    ByteSource() = default;
    ByteSource(ByteSource const&) = delete;
    ByteSource& operator=(ByteSource const&) = delete;
    virtual ~ByteSource() = default;

    /// Fills the beginning of `out` and gives how much; 0 at the end only.
    ///
    /// Errors:    FileError; FormatError if the compressed data are damaged or end early
    virtual std::size_t read(std::span<char> out) = 0;
    /// Bytes of the file read so far, as it lies on the disk.
    virtual index_t consumed() const = 0;
};

namespace detail {

class FileSource final : public ByteSource {
public:
    explicit FileSource(InputFile const& file) : file_(&file) {
        if (!file.contents) {
            fd_ = deepseek::detail::open_descriptor(file.path, O_RDONLY, "cannot open");
        }
    }
    std::size_t read(std::span<char> out) override {
        if (file_->contents) {
            auto const count =
                file_->contents->copy(out.data(), out.size(), static_cast<std::size_t>(consumed_));
            consumed_ += static_cast<index_t>(count);
            return count;
        }
        for (;;) {
            auto const count = ::read(fd_.get(), out.data(), out.size());
            if (count >= 0) {
                consumed_ += count;
                return static_cast<std::size_t>(count);
            }
            if (errno != EINTR) {
                deepseek::detail::throw_file_error(file_->path, "cannot read", errno);
            }
        }
    }
    index_t consumed() const override { return consumed_; }

private:
    InputFile const* file_;
    deepseek::detail::Descriptor<> fd_;
    index_t consumed_ = 0;
};

// Packed bytes in pieces.
class PackedBytes {
public:
    explicit PackedBytes(InputFile const& file)
        : source_(file), path_(file.path), buffer_(std::size_t{1} << 17U) {}

    // What is not unpacked yet; empty at the end only.
    std::span<char> left() {
        if (begin_ == end_) {
            begin_ = 0;
            end_ = source_.read(buffer_);
        }
        return std::span(buffer_).subspan(begin_, end_ - begin_);
    }
    void take(std::size_t count) { begin_ += count; }
    index_t consumed() const { return source_.consumed() - static_cast<index_t>(end_ - begin_); }

    template <class... Parts>
    [[noreturn]] void refuse(Parts const&... parts) const {
        throw FormatError(message(path_.native(), ": ", parts..., " at byte ", consumed()));
    }

private:
    FileSource source_;
    std::filesystem::path path_;
    std::vector<char> buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

#ifdef DEEPSEEK_LINKS_ZLIB
class GzipSource final : public ByteSource {
public:
    explicit GzipSource(InputFile const& file) : packed_(file) {
        if (::inflateInit2(&stream_, 15 + 16) != Z_OK) {  // the largest window; with gzip's header
            throw std::bad_alloc();
        }
    }
    ~GzipSource() override { ::inflateEnd(&stream_); }

    std::size_t read(std::span<char> out) override {
        for (;;) {
            auto const left = packed_.left();
            if (left.empty()) {
                if (!between_members_) {
                    packed_.refuse("the gzip data end early");
                }
                return 0;
            }
            if (between_members_) {  // several are one file
                if (static_cast<unsigned char>(left.front()) != 0x1F) {
                    packed_.refuse("something else stands behind the gzip data");
                }
                ::inflateReset(&stream_);
                between_members_ = false;
            }
            stream_.next_in = reinterpret_cast<Bytef*>(left.data());
            stream_.avail_in = static_cast<uInt>(left.size());
            stream_.next_out = reinterpret_cast<Bytef*>(out.data());
            stream_.avail_out = static_cast<uInt>(std::min(out.size(), std::size_t{1} << 30U));
            auto const room = stream_.avail_out;
            auto const code = ::inflate(&stream_, Z_NO_FLUSH);
            packed_.take(left.size() - stream_.avail_in);
            if (code == Z_MEM_ERROR) {
                throw std::bad_alloc();
            }
            if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
                packed_.refuse("damaged gzip data", stream_.msg != nullptr ? ": " : "",
                               stream_.msg != nullptr ? stream_.msg : "");
            }
            between_members_ = code == Z_STREAM_END;
            if (stream_.avail_out < room) {
                return room - stream_.avail_out;
            }
        }
    }
    index_t consumed() const override { return packed_.consumed(); }

private:
    PackedBytes packed_;
    z_stream stream_{};
    bool between_members_ = false;
};
#endif

#ifdef DEEPSEEK_LINKS_ZSTD
class ZstdSource final : public ByteSource {
public:
    explicit ZstdSource(InputFile const& file) : packed_(file), stream_(::ZSTD_createDStream()) {
        if (!stream_) {
            throw std::bad_alloc();
        }
    }
    std::size_t read(std::span<char> out) override {
        for (;;) {
            auto const left = packed_.left();
            ZSTD_inBuffer in{left.data(), left.size(), 0};
            ZSTD_outBuffer to{out.data(), out.size(), 0};
            if (left.empty() && between_frames_) {
                return 0;
            }
            auto const code = ::ZSTD_decompressStream(stream_.get(), &to, &in);  // frames follow one another
            packed_.take(in.pos);
            if (::ZSTD_isError(code) != 0) {
                packed_.refuse("damaged Zstandard data: ", ::ZSTD_getErrorName(code));
            }
            between_frames_ = code == 0;
            if (to.pos > 0) {
                return to.pos;
            }
            if (left.empty() && !between_frames_) {
                packed_.refuse("the Zstandard data end early");
            }
        }
    }
    index_t consumed() const override { return packed_.consumed(); }

private:
    struct Free {
        void operator()(ZSTD_DStream* stream) const { ::ZSTD_freeDStream(stream); }
    };
    PackedBytes packed_;
    std::unique_ptr<ZSTD_DStream, Free> stream_;
    bool between_frames_ = false;
};
#endif

}  // namespace detail

/// The first bytes of a file, at most eight, as they lie on the disk.
inline std::string first_bytes(InputFile const& file) {
    detail::FileSource source(file);
    std::string bytes(8, '\0');
    bytes.resize(source.read(bytes));
    return bytes;
}

/// The bytes of a file, unpacked if they are compressed, whatever it is called.
///
/// Errors:    FileError; FormatError if it is compressed in a way that this program cannot read
inline std::unique_ptr<ByteSource> open_bytes(InputFile const& file) {
    auto const begin = first_bytes(file);
    if (begin.starts_with("\x1F\x8B")) {
#ifdef DEEPSEEK_LINKS_ZLIB
        return std::make_unique<detail::GzipSource>(file);
#else
        throw FormatError(
            message(file.path.native(),
                    ": is compressed with gzip, which this program was built without; install zlib "
                    "(Debian: zlib1g-dev) and configure again, or unpack the file"));
#endif
    }
    if (begin.starts_with("\x28\xB5\x2F\xFD")) {
#ifdef DEEPSEEK_LINKS_ZSTD
        return std::make_unique<detail::ZstdSource>(file);
#else
        throw FormatError(
            message(file.path.native(),
                    ": is compressed with Zstandard, which this program was built without; install it "
                    "(Debian: libzstd-dev) and configure again, or unpack the file"));
#endif
    }
    for (auto const& [magic, name] : {std::pair(std::string_view("\xFD\x37zXZ"), "xz"),
                                      {std::string_view("BZh"), "bzip2"},
                                      {std::string_view("PK\x03\x04"), "zip"}}) {
        expects<FormatError>(!begin.starts_with(magic), file.path.native(), ": is a file of ", name,
                             ", which is not supported; unpack it first");
    }
    return std::make_unique<detail::FileSource>(file);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
