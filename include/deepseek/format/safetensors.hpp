// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_SAFETENSORS_HPP
#define DEEPSEEK_FORMAT_SAFETENSORS_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/json.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/needs_json.hpp>
#include <deepseek/format/safetensors_writer.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The safetensors format (github.com/huggingface/safetensors): an 8-byte little-endian length, a JSON header of that
// length, then the tensors' bytes. This header needs no model and may be used alone.

namespace deepseek::inline DEEPSEEK_ABI::format {

/// One tensor of an open file. The bytes belong to the file object and may lie at any address: copy, or use `decode`.
struct FileTensor {
    std::string name;
    DType dtype = DType::f32;
    std::vector<index_t> shape;  ///< empty for a scalar
    std::span<std::byte const> bytes;

    /// Number of elements. Cannot overflow: it was checked against the file's size.
    index_t size() const {
        index_t count = 1;
        for (auto const extent : shape) {
            count *= extent;
        }
        return count;
    }
};

namespace detail {

// Receives the header's JSON as a stream of events, so that its depth is bounded, duplicate keys are seen, and memory
// stays proportional to the header.
class SafetensorsHeader final : public JsonEvents {
public:
    struct Entry {
        std::string name;
        DType dtype;
        std::vector<index_t> shape;
        std::uint64_t begin;
        std::uint64_t end;
    };

    explicit SafetensorsHeader(std::string_view where) : where_(where) {}

    std::vector<Entry> entries;
    std::map<std::string, std::string> metadata;

    bool start_object(std::size_t) override {
        if (at_ == At::start) {
            at_ = At::names;
        } else if (at_ == At::names && name_ == "__metadata__") {
            if (std::exchange(has_metadata_, true)) {
                refuse("is given twice");
            }
            at_ = At::metadata;
        } else if (at_ == At::names) {
            at_ = At::tensor;
            dtype_.reset();
            shape_.reset();
            offsets_.reset();
        } else {
            found("an object");
        }
        return true;
    }
    bool key(string_t& text) override {
        (at_ == At::names ? name_ : field_) = std::move(text);
        if (at_ == At::tensor) {
            bool const again = field_ == "dtype"          ? dtype_.has_value()
                               : field_ == "shape"        ? shape_.has_value()
                               : field_ == "data_offsets" ? offsets_.has_value()
                                                          : false;
            if (again) {
                refuse(field_, " is given twice");
            }
            if (field_ != "dtype" && field_ != "shape" && field_ != "data_offsets") {
                refuse("expected dtype, shape and data_offsets, found ", in_quotes(field_));
            }
        }
        return true;
    }
    bool end_object() override {
        if (at_ == At::tensor) {
            if (!dtype_ || !shape_ || !offsets_) {
                refuse(!dtype_ ? "dtype" : !shape_ ? "shape" : "data_offsets", " is missing");
            }
            if (offsets_->size() != 2) {
                refuse("data_offsets must be two numbers, found ", offsets_->size());
            }
            entries.push_back(
                {std::move(name_), *dtype_, std::move(*shape_), (*offsets_)[0], (*offsets_)[1]});
        }
        at_ = at_ == At::names ? At::end : At::names;
        return true;
    }
    bool start_array(std::size_t) override {
        if (at_ == At::tensor && field_ == "shape") {
            at_ = At::shape;
            shape_.emplace();
        } else if (at_ == At::tensor && field_ == "data_offsets") {
            at_ = At::offsets;
            offsets_.emplace();
        } else {
            found("an array");
        }
        return true;
    }
    bool end_array() override {
        at_ = At::tensor;
        return true;
    }
    bool string(string_t& text) override {
        if (at_ == At::metadata) {
            if (!metadata.emplace(field_, std::move(text)).second) {
                refuse(in_quotes(field_), " is given twice");
            }
        } else if (at_ == At::tensor && field_ == "dtype") {
            dtype_ = dtype_named(text);
            if (!dtype_) {
                refuse("unknown dtype ", in_quotes(text));
            }
        } else {
            found("a string");
        }
        return true;
    }
    bool number_unsigned(number_unsigned_t value) override {
        if (at_ == At::shape && value <= std::numeric_limits<index_t>::max()) {
            shape_->push_back(static_cast<index_t>(value));
        } else if (at_ == At::offsets) {
            offsets_->push_back(value);
        } else {
            found(message("the number ", value));
        }
        return true;
    }
    bool number_integer(number_integer_t value) override { return found(message("the number ", value)); }
    bool number_float(number_float_t, string_t const& text) override {
        return found(message("the number ", in_quotes(text)));
    }
    bool boolean(bool value) override { return found(value ? "true" : "false"); }
    bool null() override { return found("null"); }
    bool binary(binary_t&) override { return found("binary data"); }  // not in JSON text
    bool parse_error(std::size_t, std::string const&, nlohmann::json::exception const& error) override {
        throw FormatError(message(where_, ": the header is not valid JSON: ", json_complaint(error)));
    }

private:
    enum class At : std::uint8_t { start, names, metadata, tensor, shape, offsets, end };

    template <class... Parts>
    [[noreturn]] void refuse(Parts const&... parts) const {
        throw FormatError(message(where_, ": ",
                                  at_ == At::metadata || name_ == "__metadata__"
                                      ? std::string("__metadata__")
                                      : message("tensor ", in_quotes(name_)),
                                  ": ", parts...));
    }
    // A value of the wrong kind.
    [[noreturn]] bool found(std::string_view what) const {
        switch (at_) {
            case At::names:
                refuse("must be an object, found ", what);
            case At::metadata:
                refuse(in_quotes(field_), " must be a string, found ", what);
            case At::tensor:
                refuse(field_, field_ == "dtype" ? " must be a string" : " must be an array", ", found ",
                       what);
            case At::shape:
            case At::offsets:
                refuse(field_, " must hold integers from 0 to 2^63 - 1, found ", what);
            default:
                throw FormatError(message(where_, ": the header must be an object, found ", what));
        }
    }

    std::string_view where_;
    At at_ = At::start;
    bool has_metadata_ = false;
    std::string name_;
    std::string field_;
    std::optional<DType> dtype_;
    std::optional<std::vector<index_t>> shape_;
    std::optional<std::vector<std::uint64_t>> offsets_;
};

inline SafetensorsHeader parse_safetensors_header(std::string_view text, std::string_view where) {
    expects<FormatError>(text.starts_with('{'), where, ": the header does not begin with '{'");
    SafetensorsHeader header(where);
    read_json(text, where, header);
    return header;
}

}  // namespace detail

/// What to overlook when reading.
struct SafetensorsOptions {
    bool allow_trailing_bytes = false;  ///< some published files have bytes after the last tensor
};

/// A safetensors file open for reading: the header is parsed and checked, the tensors stay where they are.
///
/// The header must be one JSON object without duplicate keys; every tensor's bytes must be exactly its shape times its
/// type; together the tensors must cover the rest of the file without gaps or overlaps. Values are not looked at.
///
/// Errors:    FileError if the file cannot be read; FormatError naming the file and the tensor otherwise
/// Cost:      proportional to the header; the data is mapped, not read
/// Source:    README.md and safetensors/src/tensor.rs of github.com/huggingface/safetensors
class SafetensorsFile {
public:
    /// Maps a file.
    static SafetensorsFile open(std::filesystem::path const& path, SafetensorsOptions options = {}) {
        MappedFile file(path);
        auto const bytes = file.bytes();
        return {std::move(file), bytes, path.native(), options};
    }

    /// A file already in memory, which must outlive the object. `where` stands for its name in messages.
    static SafetensorsFile parse(std::span<std::byte const> bytes, std::string const& where = "safetensors",
                                 SafetensorsOptions options = {}) {
        return {MappedFile(), bytes, where, options};
    }

    /// The file's path, or the name given to `parse`.
    std::string const& where() const { return where_; }

    /// All tensors in the order of their bytes.
    std::vector<FileTensor> const& tensors() const { return tensors_; }

    /// The tensor of that name, or null.
    FileTensor const* find(std::string_view tensor_name) const {
        auto const at =
            std::lower_bound(by_name_.begin(), by_name_.end(), tensor_name,
                             [&](std::size_t i, std::string_view n) { return tensors_[i].name < n; });
        return at != by_name_.end() && tensors_[*at].name == tensor_name ? &tensors_[*at] : nullptr;
    }

    /// The file's bytes; empty where it was given as bytes.
    MappedFile const& file() const { return file_; }

    /// The header's free-form strings.
    std::map<std::string, std::string> const& metadata() const { return metadata_; }

private:
    SafetensorsFile(MappedFile file, std::span<std::byte const> bytes, std::string where,
                    SafetensorsOptions options)
        : file_(std::move(file)), where_(std::move(where)) {
        std::uint64_t header_size = 0;
        expects<FormatError>(bytes.size() >= sizeof header_size, where_, ": has ", bytes.size(),
                             " bytes, too few for a safetensors file");
        std::memcpy(&header_size, bytes.data(), sizeof header_size);
        expects<FormatError>(header_size <= kSafetensorsHeaderLimit, where_, ": not a safetensors file: the ",
                             "first 8 bytes give a header of ", header_size, " bytes, the format allows ",
                             kSafetensorsHeaderLimit);
        auto const rest = bytes.subspan(sizeof header_size);
        expects<FormatError>(header_size <= rest.size(), where_, ": truncated: a header of ", header_size,
                             " bytes is announced, ", rest.size(), " bytes follow");
        auto header = detail::parse_safetensors_header(
            {reinterpret_cast<char const*>(rest.data()), static_cast<std::size_t>(header_size)}, where_);
        metadata_ = std::move(header.metadata);
        place(std::move(header.entries), rest.subspan(static_cast<std::size_t>(header_size)), options);
    }

    // Checks that the entries tile the data and turns them into tensors. Every sum and product is bounded by the size
    // of the data, which exists.
    void place(std::vector<detail::SafetensorsHeader::Entry> entries, std::span<std::byte const> data,
               SafetensorsOptions options) {
        by_name_ = detail::sorted_order(
            entries.size(), [&](std::size_t a, std::size_t b) { return entries[a].name < entries[b].name; });
        auto const twice = std::adjacent_find(
            by_name_.begin(), by_name_.end(),
            [&](std::size_t a, std::size_t b) { return entries[a].name == entries[b].name; });
        if (twice != by_name_.end()) [[unlikely]] {
            throw FormatError(
                message(where_, ": tensor ", detail::in_quotes(entries[*twice].name), " is given twice"));
        }

        auto const by_place = detail::sorted_order(entries.size(), [&](std::size_t a, std::size_t b) {
            return std::pair(entries[a].begin, entries[a].end) < std::pair(entries[b].begin, entries[b].end);
        });
        std::vector<std::size_t> place_of(entries.size());
        std::uint64_t covered = 0;
        tensors_.reserve(entries.size());
        for (auto const i : by_place) {
            auto& entry = entries[i];
            expects_offsets(entry, covered, data.size());
            auto const expected = detail::tensor_bytes(entry.dtype, entry.shape);
            if (expected != entry.end - entry.begin) [[unlikely]] {
                throw FormatError(
                    message(where_, ": tensor ", detail::in_quotes(entry.name), ": ", name(entry.dtype), " ",
                            to_string(entry.shape), " takes ",
                            expected ? message(*expected, " bytes") : "no whole number of bytes below 2^64",
                            ", data_offsets give ", entry.end - entry.begin));
            }
            place_of[i] = tensors_.size();
            tensors_.push_back({std::move(entry.name), entry.dtype, std::move(entry.shape),
                                data.subspan(static_cast<std::size_t>(entry.begin),
                                             static_cast<std::size_t>(entry.end - entry.begin))});
            covered = entry.end;
        }
        expects<FormatError>(options.allow_trailing_bytes || covered == data.size(), where_, ": ",
                             data.size() - covered, " bytes follow the last tensor");
        for (auto& i : by_name_) {
            i = place_of[i];
        }
    }

    // Each tensor must begin where the one before it ended, and end within the data.
    void expects_offsets(detail::SafetensorsHeader::Entry const& entry, std::uint64_t covered,
                         std::size_t data_size) const {
        auto const expects_that = [&](bool condition, auto const&... parts) {
            if (!condition) [[unlikely]] {
                throw FormatError(message(where_, ": tensor ", detail::in_quotes(entry.name),
                                          ": data_offsets [", entry.begin, ", ", entry.end, "] ", parts...));
            }
        };
        expects_that(entry.begin <= entry.end, "end before they begin");
        expects_that(entry.begin >= covered, "overlap the tensor before, which ends at ", covered);
        expects_that(entry.begin <= covered, "leave a gap: the tensors before end at ", covered);
        expects_that(entry.end <= data_size, "pass the end of the data, which has ", data_size, " bytes");
    }

    MappedFile file_;
    std::string where_;
    std::vector<FileTensor> tensors_;
    std::vector<std::size_t> by_name_;  // indices into tensors_
    std::map<std::string, std::string> metadata_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
