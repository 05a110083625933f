// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DETAIL_CONSTEXPR_MATH_HPP
#define DEEPSEEK_DETAIL_CONSTEXPR_MATH_HPP

#include <deepseek/config.hpp>

// Functions of the standard library that C++20 has not made constexpr, for tables that depend on a model's type
// alone. Written for accuracy (a few units of 1e-16), not for speed at run time.

namespace deepseek::inline DEEPSEEK_ABI::detail::constant {

inline constexpr double kLn2 = 0.693147180559945309417;

constexpr double floor(double x) {
    auto const whole = static_cast<double>(static_cast<long long>(x));
    return whole > x ? whole - 1 : whole;
}
constexpr double ceil(double x) { return -floor(-x); }

/// Newton's iteration from above falls until it is at the root.
constexpr double sqrt(double x) {
    if (!(x > 0)) {
        return 0;
    }
    auto root = x > 1 ? x : 1.0;
    for (auto next = 0.5 * (root + x / root); next < root; next = 0.5 * (root + x / root)) {
        root = next;
    }
    return root;
}

/// e^x of moderate x: the series on [-ln 2 / 2, ln 2 / 2], times a power of two.
constexpr double exp(double x) {
    auto const n = static_cast<int>(floor(x / kLn2 + 0.5));
    constexpr double kLn2High = 0x1.62e42feep-1;  // 32 bits: exact times n
    constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
    auto const r = (x - n * kLn2High) - n * kLn2Low;
    auto sum = 1.0;
    for (int k = 18; k >= 1; --k) {
        sum = 1 + sum * r / k;
    }
    for (int i = 0; i < n; ++i) {
        sum *= 2;
    }
    for (int i = 0; i > n; --i) {
        sum /= 2;
    }
    return sum;
}

/// Natural logarithm of x > 0: powers of two, then 2 artanh((m - 1) / (m + 1)).
constexpr double log(double x) {
    int exponent = 0;
    for (; x > 1.4142135623730951; x /= 2) {
        ++exponent;
    }
    for (; x < 0.7071067811865476; x *= 2) {
        --exponent;
    }
    auto const t = (x - 1) / (x + 1);
    auto const square = t * t;
    auto sum = 0.0;
    for (int k = 41; k >= 3; k -= 2) {
        sum = (sum + 1.0 / k) * square;
    }
    return exponent * kLn2 + 2 * (t + t * sum);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::detail::constant

#endif
