// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_DTYPE_HPP
#define DEEPSEEK_FORMAT_DTYPE_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI::format {

/// Element types of tensors in files, in the order in which the safetensors libraries sort them: a file holds the last
/// of these first.
enum class DType : std::uint8_t {
    boolean,
    f4,
    f6_e2m3,
    f6_e3m2,
    u8,
    i8,
    f8_e5m2,
    f8_e4m3,
    f8_e8m0,
    f8_e4m3fnuz,
    f8_e5m2fnuz,
    i16,
    u16,
    f16,
    bf16,
    i32,
    u32,
    f32,
    c64,
    f64,
    i64,
    u64,
};

namespace detail {
struct DTypeFacts {
    std::string_view name;
    index_t bits;
};
// Indexed by DType.
inline constexpr std::array<DTypeFacts, 22> kDTypes{{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};
static_assert(kDTypes[static_cast<std::size_t>(DType::u64)].name == "U64");
}  // namespace detail

/// The type's name as safetensors spells it: "F32", "BF16", …
constexpr std::string_view name(DType type) { return detail::kDTypes[static_cast<std::size_t>(type)].name; }

/// Bits of one element; some types are narrower than a byte.
constexpr index_t bits(DType type) { return detail::kDTypes[static_cast<std::size_t>(type)].bits; }

/// The type safetensors spells so, or nothing.
constexpr std::optional<DType> dtype_named(std::string_view text) {
    for (std::size_t i = 0; i < detail::kDTypes.size(); ++i) {
        if (detail::kDTypes[i].name == text) {
            return static_cast<DType>(i);
        }
    }
    return std::nullopt;
}

/// The file type that holds elements of T exactly.
template <Element T>
inline constexpr DType dtype_of = std::same_as<T, double>  ? DType::f64
                                  : std::same_as<T, float> ? DType::f32
                                                           : DType::bf16;

/// Value of an IEEE binary16 number given by its bits. Exact.
inline float half_to_float(std::uint16_t half) {
    auto const sign = static_cast<std::uint32_t>(half & 0x8000U) << 16U;
    auto const exponent = (half >> 10U) & 0x1FU;
    auto const fraction = static_cast<std::uint32_t>(half & 0x3FFU);
    if (exponent == 0) {  // zero or subnormal: fraction * 2^-24
        auto const magnitude = static_cast<float>(fraction) * 0x1p-24F;
        return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
    }
    auto const wide_exponent = exponent == 0x1FU ? 0xFFU : exponent + (127U - 15U);
    return std::bit_cast<float>(sign | wide_exponent << 23U | fraction << 13U);
}

/// Value of an F8_E4M3 number given by its bits: a sign, 4 bits of exponent with bias 7, 3 of fraction; no infinities, and NaN
/// only where all bits but the sign are set. Exact.
///
/// Source:    Micikevicius et al. 2022, FP8 Formats for Deep Learning
inline float float8_to_float(std::uint8_t code) {
    static constexpr auto values = [] {
        std::array<float, 256> table{};
        for (std::size_t i = 0; i < table.size(); ++i) {
            auto const exponent = (i >> 3U) & 0xFU;
            auto const fraction = static_cast<float>(i & 7U) / 8;
            auto value = exponent == 0 ? fraction / 64 : (1 + fraction) / 128;
            for (std::size_t step = 0; step < exponent; ++step) {
                value *= 2;
            }
            value = exponent == 0xF && fraction == 7.0F / 8 ? std::numeric_limits<float>::quiet_NaN() : value;
            table[i] = i >= 128 ? -value : value;
        }
        return table;
    }();
    return values[code];
}

/// True for the file types that `decode` and `encode` know: F64, F32, F16 (decode only), BF16.
constexpr bool decodable(DType type) {
    return type == DType::f64 || type == DType::f32 || type == DType::f16 || type == DType::bf16;
}

namespace detail {
// Files are little-endian and promise no alignment.
static_assert(std::endian::native == std::endian::little,
              "deepseek::format: only little-endian machines so far");

template <class Stored, class T>
void decode_as(std::span<std::byte const> bytes, std::span<T> values, auto&& to_value) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        Stored stored;
        std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
        values[i] = to_value(stored);
    }
}

template <class Stored, class T>
void encode_as(std::span<T const> values, std::span<std::byte> bytes) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        auto const stored = convert<Stored>(values[i]);
        std::memcpy(bytes.data() + i * sizeof(Stored), &stored, sizeof(Stored));
    }
}
}  // namespace detail

/// Elements of a file as values of T.
///
/// Shapes:    bytes holds exactly values.size() elements of `type`
/// Precision: exact where T is at least as wide; rounded to nearest otherwise (F64 to bf16 through float)
/// Errors:    Error if the type is not decodable or the sizes disagree
template <Element T>
void decode(DType type, std::span<std::byte const> bytes, std::span<T> values) {
    expects(decodable(type), "decode: no conversion from ", name(type));
    expects(bytes.size() == values.size() * static_cast<std::size_t>(bits(type) / 8),
            "decode: sizes disagree");
    if (values.empty()) {
        return;  // memcpy must not see a null pointer
    }
    if (type == dtype_of<T>) {
        std::memcpy(values.data(), bytes.data(), bytes.size());
        return;
    }
    switch (type) {
        case DType::f64:
            return detail::decode_as<double>(bytes, values, [](double v) { return convert<T>(v); });
        case DType::f32:
            return detail::decode_as<float>(bytes, values, [](float v) { return convert<T>(v); });
        case DType::f16:
            return detail::decode_as<std::uint16_t>(
                bytes, values, [](std::uint16_t v) { return convert<T>(half_to_float(v)); });
        default:
            return detail::decode_as<bf16>(bytes, values, [](bf16 v) { return convert<T>(v); });
    }
}

/// Values of T as elements of a file: the inverse of `decode`, for F64, F32 and BF16.
///
/// Errors:    Error if the type is none of these or the sizes disagree
template <Element T>
void encode(std::span<T const> values, DType type, std::span<std::byte> bytes) {
    expects(decodable(type) && type != DType::f16, "encode: no conversion to ", name(type));
    expects(bytes.size() == values.size() * static_cast<std::size_t>(bits(type) / 8),
            "encode: sizes disagree");
    if (values.empty()) {
        return;
    }
    if (type == dtype_of<T>) {
        std::memcpy(bytes.data(), values.data(), bytes.size());
    } else if (type == DType::f64) {
        detail::encode_as<double>(values, bytes);
    } else if (type == DType::f32) {
        detail::encode_as<float>(values, bytes);
    } else {
        detail::encode_as<bf16>(values, bytes);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
