// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DETAIL_PORTABLE_HPP
#define DEEPSEEK_DETAIL_PORTABLE_HPP

#include <deepseek/config.hpp>

#include <limits>

// What loop bodies need of the standard library and a device compiler takes for functions of the host: nvcc without
// --expt-relaxed-constexpr warns of a call of std::bit_cast in a kernel, and compiles a constant NaN. Functions of <cmath>
// are no such: every compiler for devices brings its own.

namespace deepseek::inline DEEPSEEK_ABI::detail {

/// std::bit_cast.
template <class To, class From>
constexpr DEEPSEEK_HD To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From));
    return __builtin_bit_cast(To, from);
}

template <class T>
inline constexpr T kInfinity = std::numeric_limits<T>::infinity();

}  // namespace deepseek::inline DEEPSEEK_ABI::detail

#endif
