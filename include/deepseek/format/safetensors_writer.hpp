// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_SAFETENSORS_WRITER_HPP
#define DEEPSEEK_FORMAT_SAFETENSORS_WRITER_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/json_writer.hpp>
#include <deepseek/format/messages.hpp>

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

// Writing the safetensors format; safetensors.hpp says what it is and reads it.

namespace deepseek::inline DEEPSEEK_ABI::format {

/// Longest header the format allows, in bytes.
inline constexpr std::uint64_t kSafetensorsHeaderLimit = 100'000'000;

/// "[2, 3]"; "[]" for a scalar.
inline std::string to_string(std::span<index_t const> shape) {
    std::string text = "[";
    for (auto const extent : shape) {
        text += text.size() > 1 ? ", " : "";
        text += std::to_string(extent);
    }
    return text + "]";
}

namespace detail {

// Bytes of a tensor; nothing if they do not fit 64 bits or are no whole number.
inline std::optional<std::uint64_t> tensor_bytes(DType type, std::span<index_t const> shape) {
    std::uint64_t count = static_cast<std::uint64_t>(bits(type));
    for (auto const extent : shape) {
        auto const factor = static_cast<std::uint64_t>(extent);
        if (factor != 0 && count > std::numeric_limits<std::uint64_t>::max() / factor) {
            return std::nullopt;
        }
        count *= factor;
    }
    return count % 8 == 0 ? std::optional(count / 8) : std::nullopt;
}

// The numbers from 0 to count - 1 in the order that `before` says. Not a template: sorting is a second of compilation
// for each kind of thing sorted.
inline std::vector<std::size_t> sorted_order(std::size_t count,
                                             std::function<bool(std::size_t, std::size_t)> const& before) {
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return before(a, b); });
    return order;
}

}  // namespace detail

/// Takes bytes in order; what a producer of tensor data writes to.
using ByteSink = std::function<void(std::span<std::byte const>)>;

/// A tensor to be written. Its bytes are asked for when it is their turn, so that no second copy of a model need exist.
struct OutputTensor {
    std::string name;
    DType dtype = DType::f32;
    std::vector<index_t> shape;
    /// Called once; passes shape × dtype bytes to the sink, in as many pieces as it likes.
    std::function<void(ByteSink const&)> produce;
};

/// A tensor whose bytes lie in memory until the file is written.
inline OutputTensor output_tensor(std::string name, DType dtype, std::vector<index_t> shape,
                                  std::span<std::byte const> bytes) {
    return {std::move(name), dtype, std::move(shape), [bytes](ByteSink const& sink) { sink(bytes); }};
}

namespace detail {
// The order in which tensors lie in a file.
inline std::vector<std::size_t> file_order(std::vector<OutputTensor> const& tensors) {
    return sorted_order(tensors.size(), [&](std::size_t a, std::size_t b) {
        return tensors[a].dtype != tensors[b].dtype ? tensors[a].dtype > tensors[b].dtype
                                                    : tensors[a].name < tensors[b].name;
    });
}

// The header of tensors in that order, with its length before it.
inline std::string safetensors_header(std::vector<OutputTensor> const& tensors,
                                      std::vector<std::size_t> const& order,
                                      std::map<std::string, std::string> const& metadata,
                                      std::string const& where) {
    auto const by_name = sorted_order(
        tensors.size(), [&](std::size_t a, std::size_t b) { return tensors[a].name < tensors[b].name; });
    for (std::size_t i = 1; i < by_name.size(); ++i) {
        if (tensors[by_name[i]].name == tensors[by_name[i - 1]].name) [[unlikely]] {
            throw Error(message(where, ": two tensors are named ", in_quotes(tensors[by_name[i]].name)));
        }
    }
    std::string json = "{";
    for (auto const& [key, value] : metadata) {
        auto const what = message(where, ": a metadata string");
        json += json.size() > 1 ? "," : "\"__metadata__\":{";
        json += json_text(key, what) + ":" + json_text(value, what);
    }
    json += metadata.empty() ? "" : "}";
    std::uint64_t end = 0;
    for (auto const i : order) {
        auto const& tensor = tensors[i];
        constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<index_t>::max());
        bool const negative =
            std::any_of(tensor.shape.begin(), tensor.shape.end(), [](index_t extent) { return extent < 0; });
        auto const bytes = negative ? most + 1 : tensor_bytes(tensor.dtype, tensor.shape).value_or(most + 1);
        if (bytes > most - end) [[unlikely]] {
            throw Error(message(where, ": tensor ", in_quotes(tensor.name), ": cannot have shape ",
                                to_string(tensor.shape)));
        }
        expects(tensor.name != "__metadata__", where, ": a tensor cannot be named __metadata__");
        json += json.size() > 1 ? "," : "";
        json +=
            message(json_text(tensor.name, message(where, ": the name of tensor ", in_quotes(tensor.name))),
                    ":{\"dtype\":\"", name(tensor.dtype), "\",\"shape\":", json_text(tensor.shape),
                    ",\"data_offsets\":[", end, ",", end + bytes, "]}");
        end += bytes;
    }
    json += '}';
    json.resize((json.size() + 7) / 8 * 8, ' ');
    expects(json.size() <= kSafetensorsHeaderLimit, where, ": the header would take ", json.size(),
            " bytes, the format allows ", kSafetensorsHeaderLimit);
    std::uint64_t const header_size = json.size();
    std::string file(sizeof header_size, '\0');
    std::memcpy(file.data(), &header_size, sizeof header_size);
    return file + json;
}
}  // namespace detail

/// Writes a safetensors file through `file`, anything with path(), write(span of bytes) and write(string_view), such as
/// an AtomicFile; gives the number of bytes. The caller commits it. The result equals, byte for byte, what the
/// safetensors libraries write for the same tensors and at most one metadata entry (they do not order these).
///
/// Errors:    Error if names repeat, a name is not UTF-8, a shape is impossible, or a producer delivers another number
///            of bytes than announced; what `file` throws
/// Cost:      holds the header in memory, and of the data what the producers hold
template <class File>
std::uint64_t write_safetensors_to(File& file, std::vector<OutputTensor> const& tensors,
                                   std::map<std::string, std::string> const& metadata = {}) {
    std::string const where = file.path().native();
    auto const order = detail::file_order(tensors);
    auto const header = detail::safetensors_header(tensors, order, metadata, where);
    file.write(std::string_view(header));
    std::uint64_t total = header.size();
    for (auto const i : order) {
        auto const& tensor = tensors[i];
        auto const expected = *detail::tensor_bytes(tensor.dtype, tensor.shape);
        std::uint64_t written = 0;
        auto const expect = [&](bool condition) {
            if (!condition) [[unlikely]] {
                throw Error(message(where, ": tensor ", detail::in_quotes(tensor.name), ": ", written,
                                    " bytes were produced, its shape ", to_string(tensor.shape), " takes ",
                                    expected));
            }
        };
        tensor.produce([&](std::span<std::byte const> bytes) {
            written += bytes.size();
            expect(written <= expected);
            file.write(bytes);
        });
        expect(written == expected);
        total += expected;
    }
    return total;
}

/// Writes a safetensors file that appears under its name whole or not at all.
///
/// Errors:    as above; FileError if the disk is full or the directory cannot be written: whatever had the name before
///            is then unchanged
inline void write_safetensors(std::filesystem::path const& path, std::vector<OutputTensor> const& tensors,
                              std::map<std::string, std::string> const& metadata = {}) {
    AtomicFile file(path);
    write_safetensors_to(file, tensors, metadata);
    file.commit();
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
