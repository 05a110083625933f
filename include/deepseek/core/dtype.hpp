// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_DTYPE_HPP
#define DEEPSEEK_CORE_DTYPE_HPP

#include <deepseek/config.hpp>
#include <deepseek/detail/portable.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

/// bfloat16 as a storage type: 8 exponent bits, 7 mantissa bits. Arithmetic happens in float.
///
/// Precision: conversion from float rounds to nearest, ties to even; NaN stays NaN (quiet)
struct bf16 {
    std::uint16_t bits = 0;

    bf16() = default;
    constexpr DEEPSEEK_HD explicit bf16(float value) {
        auto const word = detail::bit_cast<std::uint32_t>(value);
        bool const is_nan = (word & 0x7FFF'FFFFU) > 0x7F80'0000U;
        auto const rounded = word + 0x7FFFU + ((word >> 16U) & 1U);
        bits = static_cast<std::uint16_t>(is_nan ? (word >> 16U) | 0x40U : rounded >> 16U);
    }
    constexpr DEEPSEEK_HD explicit operator float() const {
        return detail::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
    }
    friend constexpr bool operator==(bf16, bf16) = default;
};

/// Element types that weights may have.
template <class T>
concept Element = std::same_as<T, double> || std::same_as<T, float> || std::same_as<T, bf16>;

namespace detail {
template <class T>
struct accumulate {
    using type = float;
};
template <>
struct accumulate<double> {
    using type = double;
};
}  // namespace detail

/// The type in which sums over elements of T are kept, in which activations beside weights of T are held, and in which
/// values that must not be rounded (router bias, log-sum-exp) are stored: float, or double for double.
template <class T>
using accumulate_t = typename detail::accumulate<std::remove_cv_t<T>>::type;

/// A count in the place of a value of T, as its bits: the load of experts is kept where a gradient would be. Integers of
/// the value's size are exact far beyond the 2^24 of a float.
template <class T>
using count_t = std::conditional_t<sizeof(T) == sizeof(std::uint64_t), std::uint64_t, std::uint32_t>;

template <class T>
constexpr DEEPSEEK_HD count_t<T> count_in(T value) {
    return detail::bit_cast<count_t<T>>(value);
}
template <class T>
constexpr DEEPSEEK_HD T as_value(count_t<T> count) {
    return detail::bit_cast<T>(count);
}

/// value as U, through float where one side is bf16.
template <class U, class T>
constexpr DEEPSEEK_HD U convert(T value) {
    if constexpr (std::same_as<U, T>) {
        return value;
    } else if constexpr (std::same_as<T, bf16>) {
        return static_cast<U>(static_cast<float>(value));
    } else if constexpr (std::same_as<U, bf16>) {
        return bf16(static_cast<float>(value));
    } else {
        return static_cast<U>(value);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
