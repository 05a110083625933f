// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_DOCUMENT_READER_HPP
#define DEEPSEEK_APP_PREPARE_DOCUMENT_READER_HPP

#include <deepseek/app/prepare/byte_source.hpp>
#include <deepseek/app/prepare/dropped.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// The documents of one file, one after the other, as they stand in it.
class DocumentReader {
public:
    DocumentReader() = default;
    DocumentReader(DocumentReader const&) = delete;
    DocumentReader& operator=(DocumentReader const&) = delete;
    virtual ~DocumentReader() = default;

    /// The longest document, in bytes. What is longer has no separators, or other ones.
    static constexpr std::size_t kMostBytes = std::size_t{1} << 30U;

    /// Appends the next document, or gives false at the end. Counts what is no part of any document.
    ///
    /// Errors:    FileError, FormatError naming the file and what is wrong with it
    virtual bool next(std::string& document, Dropped& dropped) = 0;
    /// Bytes of the file read so far.
    virtual index_t consumed() const = 0;
};

namespace detail {

// Fills a buffer from `size` on as far as the source reaches; whether there may be more.
inline bool fill_rest(ByteSource& source, std::string& buffer, std::size_t size) {
    while (size < buffer.size()) {
        auto const count = source.read(std::span(buffer).subspan(size));
        size += count;
        if (count == 0) {
            buffer.resize(size);
            return false;
        }
    }
    return true;
}

// What stands between separators. A line break directly before and one directly behind a separator belong to it; nothing
// in front of the first separator or behind the last one is not a document that somebody lost. With an empty separator the
// whole text is one document.
class TextReader final : public DocumentReader {
public:
    TextReader(InputFile const& file, std::string separator)
        : source_(open_bytes(file)), path_(file.path), separator_(std::move(separator)) {}

    bool next(std::string& document, Dropped& dropped) override {
        while (!at_end_) {
            auto const [end, behind] = find_end();
            bool const at_edge = is_first_ || at_end_;
            auto const piece = std::string_view(buffer_).substr(begin_, end - begin_);
            is_first_ = false;
            if (!at_end_) {
                dropped.separators += 1;
                dropped.separator_bytes += static_cast<index_t>(behind - end);
            }
            begin_ = searched_ = behind;
            if (!piece.empty() || !at_edge) {
                document += piece;
                return true;
            }
        }
        return false;
    }
    index_t consumed() const override { return source_->consumed(); }

private:
    // Where the document ends that begins at begin_, and where the next one begins. Sets at_end_ behind the last.
    std::pair<std::size_t, std::size_t> find_end() {
        for (;;) {
            auto const at = separator_.empty() ? buffer_.npos : buffer_.find(separator_, searched_);
            // The line break behind it has two bytes at most.
            if (at != buffer_.npos && (source_ended_ || at + separator_.size() + 2 <= buffer_.size())) {
                auto end = at;
                if (end > begin_ && buffer_[end - 1] == '\n') {
                    --end;
                    end -= end > begin_ && buffer_[end - 1] == '\r' ? 1 : 0;
                }
                auto behind = at + separator_.size();
                auto const rest = std::string_view(buffer_).substr(behind);
                behind += rest.starts_with("\r\n") ? 2 : rest.starts_with('\n') ? 1 : 0;
                return {end, behind};
            }
            if (source_ended_) {
                at_end_ = true;
                return {buffer_.size(), buffer_.size()};
            }
            auto const searched = buffer_.size() - std::min(buffer_.size(), separator_.size());
            searched_ = at != buffer_.npos ? at : std::max(searched_, searched);
            fill();
        }
    }

    void fill() {
        buffer_.erase(0, begin_);
        searched_ -= begin_;
        begin_ = 0;
        expects<FormatError>(buffer_.size() <= kMostBytes, path_.native(), ": a document of more than ",
                             kMostBytes, " bytes; --separator says what stands between documents");
        auto const size = buffer_.size();
        buffer_.resize(size + std::max(kPiece, size));  // doubling, so that long documents are copied rarely
        source_ended_ = !fill_rest(*source_, buffer_, size);
        expects<FormatError>(!source_ended_ || source_->consumed() > 0, path_.native(),
                             ": is empty, expected text");
    }

    static constexpr std::size_t kPiece = std::size_t{1} << 18U;

    std::unique_ptr<ByteSource> source_;
    std::filesystem::path path_;
    std::string separator_;
    std::string buffer_;
    std::size_t begin_ = 0;     // of the next document
    std::size_t searched_ = 0;  // where a separator may begin
    bool source_ended_ = false;
    bool is_first_ = true;
    bool at_end_ = false;
};

// Lines, without their ends.
class LineReader final : public DocumentReader {
public:
    explicit LineReader(InputFile const& file) : source_(open_bytes(file)), path_(file.path) {}

    bool next(std::string& document, Dropped&) override {
        for (;;) {
            auto const at = buffer_.find('\n', searched_);
            if (at != buffer_.npos || (source_ended_ && begin_ < buffer_.size())) {
                auto const end = std::min(at, buffer_.size());
                document.append(buffer_, begin_, end - begin_);
                begin_ = searched_ = std::min(end + 1, buffer_.size());
                return true;
            }
            if (source_ended_) {
                return false;
            }
            fill();
        }
    }
    index_t consumed() const override { return source_->consumed(); }

private:
    void fill() {
        buffer_.erase(0, begin_);
        begin_ = 0;
        auto const size = searched_ = buffer_.size();
        expects<FormatError>(size <= kMostBytes, path_.native(), ": a line of more than ", kMostBytes,
                             " bytes");
        buffer_.resize(size + std::max(std::size_t{1} << 18U, size));
        source_ended_ = !fill_rest(*source_, buffer_, size);
        expects<FormatError>(!source_ended_ || source_->consumed() > 0, path_.native(),
                             ": is empty, expected JSON lines");
    }

    std::unique_ptr<ByteSource> source_;
    std::filesystem::path path_;
    std::string buffer_;
    std::size_t begin_ = 0;
    std::size_t searched_ = 0;
    bool source_ended_ = false;
};

}  // namespace detail

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
