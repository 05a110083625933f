// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_PARQUET_HPP
#define DEEPSEEK_APP_PREPARE_PARQUET_HPP

#include <deepseek/app/prepare/byte_source.hpp>
#include <deepseek/app/prepare/document_reader.hpp>
#include <deepseek/app/prepare/dropped.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/messages.hpp>

#ifdef DEEPSEEK_LINKS_PARQUET
#include <arrow/io/file.h>
#include <arrow/memory_pool.h>
#include <parquet/column_reader.h>
#include <parquet/file_reader.h>
#include <parquet/schema.h>
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

// Parquet by Arrow's library, where the program is linked with it: -DDEEPSEEK_LINKS_PARQUET -lparquet -larrow.

namespace deepseek::inline DEEPSEEK_ABI::app::detail {

#ifdef DEEPSEEK_LINKS_PARQUET

// One column of texts, a page at a time: row groups may be as large as the file.
class ParquetReader final : public DocumentReader {
public:
    ParquetReader(InputFile const& file, std::string column)
        : path_(file.path.native()), bytes_(file.bytes), column_(std::move(column)) {
        expects<FormatError>(!file.contents, path_, ": Parquet is read from files only, not from pipes");
        guarded([&] { open(); });
    }

    bool next(std::string& document, Dropped& dropped) override {
        bool found = false;
        guarded([&] { found = read(document, dropped); });
        return found;
    }
    // As far as the rows tell.
    index_t consumed() const override {
        return rows_ == 0 ? bytes_
                          : static_cast<index_t>(static_cast<double>(bytes_) * static_cast<double>(row_) /
                                                 static_cast<double>(rows_));
    }

private:
    // Damaged files claim any size. Packed texts take a thousandth of their room at the least.
    std::int64_t most_memory() const {
        return std::min(std::int64_t{4} << 30U, (std::int64_t{256} << 20U) + 1024 * bytes_);
    }

    template <class Body>
    void guarded(Body&& body) const {
        try {
            body();
        } catch (Error const&) {
            throw;
        } catch (std::bad_alloc const&) {
            throw;
        } catch (std::exception const& error) {
            std::string why = error.what();
            throw FormatError(
                message(path_, ": not readable as Parquet: ", format::detail::shortened(why, 300)));
        }
    }
    template <class... Parts>
    [[noreturn]] void refuse(Parts const&... parts) const {
        throw FormatError(message(path_, ": ", parts...));
    }

    void open() {
        pool_ = std::make_unique<arrow::CappedMemoryPool>(arrow::default_memory_pool(), most_memory());
        parquet::ReaderProperties properties(pool_.get());
        properties.enable_buffered_stream();
        properties.set_buffer_size(1 << 20);
        properties.set_page_checksum_verification(true);
        auto source = arrow::io::ReadableFile::Open(path_, pool_.get());
        if (!source.ok()) {
            refuse(source.status().message());
        }
        file_ = parquet::ParquetFileReader::Open(*source, properties);
        auto const metadata = file_->metadata();
        rows_ = metadata->num_rows();
        if (rows_ == 0) {
            return;
        }
        auto const& schema = *metadata->schema();
        for (int i = 0; i < schema.num_columns(); ++i) {
            if (schema.Column(i)->path()->ToDotString() == column_) {
                index_ = i;
            }
        }
        if (index_ < 0) {
            std::string names;
            for (int i = 0; i < std::min(schema.num_columns(), 20); ++i) {
                names += (i == 0 ? "" : ", ") + schema.Column(i)->path()->ToDotString();
            }
            refuse("has no column ", format::detail::in_quotes(column_),
                   "; --text-field chooses one of: ", format::detail::shortened(names, 300));
        }
        auto const& column = *schema.Column(index_);
        if (column.physical_type() != parquet::Type::BYTE_ARRAY || column.max_repetition_level() != 0) {
            refuse(
                "column ", format::detail::in_quotes(column_), " holds ",
                column.max_repetition_level() != 0 ? "lists" : parquet::TypeToString(column.physical_type()),
                ", expected texts");
        }
        if (column.logical_type() && column.logical_type()->is_decimal()) {
            refuse("column ", format::detail::in_quotes(column_), " holds numbers, expected texts");
        }
        levels_ = column.max_definition_level();
    }

    bool read(std::string& document, Dropped& dropped) {
        for (;;) {
            while (at_ < count_) {
                ++row_;
                ++row_of_group_;
                if (definitions_[at_++] < levels_) {
                    dropped.missing_texts += 1;
                    continue;
                }
                auto const& value = values_[value_++];
                document.append(reinterpret_cast<char const*>(value.ptr), value.len);
                return true;
            }
            if (!next_batch()) {
                return false;
            }
        }
    }

    bool next_batch() {
        auto const metadata = file_->metadata();
        while (index_ >= 0) {
            if (reader_ && reader_->HasNext()) {
                definitions_.fill(0);
                std::int64_t read = 0;
                count_ = static_cast<std::size_t>(reader_->ReadBatch(
                    static_cast<std::int64_t>(values_.size()), levels_ > 0 ? definitions_.data() : nullptr,
                    nullptr, values_.data(), &read));
                at_ = value_ = 0;
                auto const texts =
                    levels_ == 0 ? static_cast<std::ptrdiff_t>(count_)
                                 : std::count(definitions_.begin(),
                                              definitions_.begin() + static_cast<std::ptrdiff_t>(count_),
                                              static_cast<std::int16_t>(levels_));
                if (texts != read || count_ == 0) {
                    refuse("row group ", group_ - 1, " holds ", read, " texts where ", texts,
                           " are announced");
                }
                return true;
            }
            if (reader_ && row_of_group_ != rows_of_group_) {
                refuse("row group ", group_ - 1, " has ", row_of_group_, " rows of column ",
                       format::detail::in_quotes(column_), ", expected ", rows_of_group_);
            }
            if (group_ == metadata->num_row_groups()) {
                if (row_ != rows_) {
                    refuse("has ", row_, " rows, expected ", rows_);
                }
                return false;
            }
            auto const group = file_->RowGroup(group_++);
            rows_of_group_ = group->metadata()->num_rows();
            row_of_group_ = 0;
            reader_ = std::static_pointer_cast<parquet::ByteArrayReader>(group->Column(index_));
            if (!reader_ || reader_->type() != parquet::Type::BYTE_ARRAY) {
                refuse("row group ", group_ - 1, ": column ", format::detail::in_quotes(column_),
                       " is of another type than the file says");
            }
        }
        return false;
    }

    std::string path_;
    index_t bytes_;
    std::string column_;
    std::unique_ptr<arrow::MemoryPool> pool_;
    std::unique_ptr<parquet::ParquetFileReader> file_;
    std::shared_ptr<parquet::ByteArrayReader> reader_;
    int index_ = -1;  // of the column
    int levels_ = 0;  // the definition level of a text that is there
    int group_ = 0;   // the next one
    index_t rows_ = 0;
    index_t row_ = 0;
    index_t rows_of_group_ = 0;
    index_t row_of_group_ = 0;
    std::array<parquet::ByteArray, 128> values_{};
    std::array<std::int16_t, 128> definitions_{};
    std::size_t count_ = 0;  // rows of the batch
    std::size_t at_ = 0;     // the next row of it
    std::size_t value_ = 0;  // the next text of it
};

inline std::unique_ptr<DocumentReader> open_parquet(InputFile const& file, std::string const& column) {
    return std::make_unique<ParquetReader>(file, column);
}

#else

inline std::unique_ptr<DocumentReader> open_parquet(InputFile const& file, std::string const&) {
    throw FormatError(message(file.path.native(),
                              ": is Parquet, which this program was built without; install Arrow's C++ "
                              "library or \"pip install pyarrow\" "
                              "and configure again (-DDEEPSEEK_ARROW= names a prefix or that Python)"));
}

#endif

}  // namespace deepseek::inline DEEPSEEK_ABI::app::detail

#endif
