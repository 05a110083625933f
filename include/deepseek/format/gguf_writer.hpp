// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_GGUF_WRITER_HPP
#define DEEPSEEK_FORMAT_GGUF_WRITER_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/safetensors_writer.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The GGUF container, version 3: a header, metadata by key, a table of tensors, then their data, each aligned to 32
// bytes; all of it little-endian. gguf_model.hpp says what of a model goes into it.
//
// Source:    ggml-org/ggml, docs/gguf.md

namespace deepseek::inline DEEPSEEK_ABI::format {

/// Element types of tensors in GGUF files, those that are written here.
enum class GgmlType : std::uint32_t {
    f32 = 0,
    q8_0 = 8,  ///< blocks of 32 values in a row: a binary16 scale and 32 signed bytes
    bf16 = 30,
};

/// "f32", "bf16", "q8_0".
constexpr std::string_view name(GgmlType type) {
    return type == GgmlType::f32 ? "f32" : type == GgmlType::bf16 ? "bf16" : "q8_0";
}

/// Values that are stored together: rows are whole multiples.
constexpr index_t block_size(GgmlType type) { return type == GgmlType::q8_0 ? 32 : 1; }

/// Bytes of one block.
constexpr index_t block_bytes(GgmlType type) {
    return type == GgmlType::f32 ? 4 : type == GgmlType::bf16 ? 2 : 2 + 32;
}

/// Bits of the IEEE binary16 number nearest to a value, ties to even; infinite beyond its range.
constexpr std::uint16_t float_to_half(float value) {
    auto const word = std::bit_cast<std::uint32_t>(value);
    auto const sign = (word >> 16U) & 0x8000U;
    auto const magnitude = word & 0x7FFF'FFFFU;
    std::uint32_t half = 0;
    if (magnitude > 0x7F80'0000U) {
        half = 0x7E00U;  // not a number
    } else if (magnitude >= 0x4780'0000U) {
        half = 0x7C00U;  // 2^16 and more
    } else if (magnitude < 0x3880'0000U) {
        // Below 2^-14, a multiple of 2^-24: what the last place of 0.5 counts, so that the addition rounds.
        half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3F00'0000U;
    } else {
        auto const rounded = magnitude + 0xFFFU + ((magnitude >> 13U) & 1U);
        half = (rounded - 0x3800'0000U) >> 13U;
    }
    return static_cast<std::uint16_t>(sign | half);
}

/// Values as elements of a type.
///
/// Shapes:    values a multiple of block_size(type); bytes values.size() / block_size · block_bytes
/// Precision: bf16 rounded to nearest; q8_0: the scale is the largest magnitude of a block over 127, rounded to binary16,
///            values are multiples of the scale before it was rounded
/// Errors:    Error if the sizes disagree
/// Source:    ggml, quantize_row_q8_0
inline void encode_ggml(GgmlType type, std::span<float const> values, std::span<std::byte> bytes) {
    if (type != GgmlType::q8_0) {
        return encode<float>(values, type == GgmlType::f32 ? DType::f32 : DType::bf16, bytes);
    }
    expects(values.size() % 32 == 0 && bytes.size() == values.size() / 32 * 34,
            "encode_ggml: ", values.size(), " values in ", bytes.size(), " bytes of q8_0");
    for (std::size_t block = 0; block < values.size() / 32; ++block) {
        auto const in = values.subspan(block * 32, 32);
        auto const out = bytes.subspan(block * 34, 34);
        float largest = 0;
        for (auto const value : in) {
            largest = std::max(largest, std::abs(value));
        }
        auto const scale = largest / 127;
        auto const inverse = scale > 0 ? 1 / scale : 0;
        auto const half = float_to_half(scale);
        std::memcpy(out.data(), &half, sizeof half);
        for (std::size_t i = 0; i < 32; ++i) {
            out[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::round(in[i] * inverse)));
        }
    }
}

/// Metadata of a file, by key, in the order in which it was added.
class GgufMetadata {
public:
    void add_u32(std::string_view key, index_t value) {
        expects(value >= 0 && value <= std::numeric_limits<std::uint32_t>::max(), "GGUF: ", key, " is ",
                value, ", which 32 bits without sign do not hold");
        begin(key, 4);
        append(static_cast<std::uint32_t>(value));
    }
    void add_f32(std::string_view key, double value) {
        begin(key, 6);
        append(static_cast<float>(value));
    }
    void add_bool(std::string_view key, bool value) {
        begin(key, 7);
        append(static_cast<std::uint8_t>(value ? 1 : 0));
    }
    void add_string(std::string_view key, std::string_view value) {
        begin(key, 8);
        append_string(value);
    }
    void add_strings(std::string_view key, std::span<std::string const> values) {
        begin_list(key, 8, values.size());
        for (auto const& value : values) {
            append_string(value);
        }
    }
    void add_i32s(std::string_view key, std::span<std::int32_t const> values) {
        begin_list(key, 5, values.size());
        for (auto const value : values) {
            append(value);
        }
    }

    std::uint64_t size() const { return keys_.size(); }
    /// Keys, types and values, as they stand in a file.
    std::string const& bytes() const { return bytes_; }

private:
    void begin(std::string_view key, std::uint32_t type) {
        expects(keys_.emplace(key).second, "GGUF: the key ", key, " is written twice");
        append_string(key);
        append(type);
    }
    void begin_list(std::string_view key, std::uint32_t element_type, std::size_t count) {
        begin(key, 9);
        append(element_type);
        append(static_cast<std::uint64_t>(count));
    }
    void append_string(std::string_view text) {
        append(static_cast<std::uint64_t>(text.size()));
        bytes_ += text;
    }
    template <class T>
    void append(T value) {
        bytes_.append(reinterpret_cast<char const*>(&value), sizeof value);
    }

    std::set<std::string, std::less<>> keys_;
    std::string bytes_;
};

/// A tensor to be written. Its bytes are asked for when it is their turn.
struct GgufTensor {
    std::string name;
    GgmlType type = GgmlType::f32;
    std::vector<index_t> extents;  ///< ggml's order: the width of a row comes first
    /// Called once; passes bytes() bytes to the sink, in as many pieces as it likes.
    std::function<void(ByteSink const&)> produce;

    /// Errors:    Error if a row is not made of whole blocks, or the size has no 63 bits
    index_t bytes() const {
        expects(!extents.empty() && extents[0] > 0 && extents[0] % block_size(type) == 0, "GGUF: tensor ",
                detail::in_quotes(name), ": rows of ", extents.empty() ? 0 : extents[0],
                " values are not made of blocks of ", format::name(type));
        auto size = extents[0] / block_size(type) * block_bytes(type);
        for (std::size_t i = 1; i < extents.size(); ++i) {
            size = checked_mul(size, extents[i]);
        }
        return size;
    }
};

namespace detail {

inline constexpr index_t kGgufAlignment = 32;

// What precedes the data.
inline std::string gguf_header(GgufMetadata const& metadata, std::vector<GgufTensor> const& tensors) {
    std::string header = "GGUF";
    auto const append = [&](auto value) {
        header.append(reinterpret_cast<char const*>(&value), sizeof value);
    };
    append(std::uint32_t{3});
    append(static_cast<std::uint64_t>(tensors.size()));
    append(metadata.size());
    header += metadata.bytes();
    std::set<std::string_view> names;
    index_t offset = 0;
    for (auto const& tensor : tensors) {
        expects(names.insert(tensor.name).second, "GGUF: two tensors are named ", in_quotes(tensor.name));
        append(static_cast<std::uint64_t>(tensor.name.size()));
        header += tensor.name;
        append(static_cast<std::uint32_t>(tensor.extents.size()));
        for (auto const extent : tensor.extents) {
            append(static_cast<std::uint64_t>(extent));
        }
        append(static_cast<std::uint32_t>(tensor.type));
        append(static_cast<std::uint64_t>(offset));
        offset += round_up(tensor.bytes(), kGgufAlignment);
    }
    header.resize(static_cast<std::size_t>(round_up(static_cast<index_t>(header.size()), kGgufAlignment)));
    return header;
}

}  // namespace detail

/// Writes a GGUF file that appears under its name whole or not at all.
///
/// Errors:    FileError if the disk is full or the file cannot be written; Error if two tensors or two keys have one
///            name, or if a tensor produces another number of bytes than its extents take
inline void write_gguf(std::filesystem::path const& path, GgufMetadata const& metadata,
                       std::vector<GgufTensor> const& tensors) {
    AtomicFile file(path);
    file.write(detail::gguf_header(metadata, tensors));
    for (auto const& tensor : tensors) {
        auto const expected = tensor.bytes();
        index_t written = 0;
        tensor.produce([&](std::span<std::byte const> bytes) {
            written += static_cast<index_t>(bytes.size());
            file.write(bytes);
        });
        expects(written == expected, file.path().native(), ": tensor ", detail::in_quotes(tensor.name), ": ",
                written, " bytes were produced, its extents take ", expected);
        auto const padding = round_up(expected, detail::kGgufAlignment) - expected;
        file.write(std::string(static_cast<std::size_t>(padding), '\0'));
    }
    file.commit();
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
