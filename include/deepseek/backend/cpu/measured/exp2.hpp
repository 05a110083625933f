// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_EXP2_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_EXP2_HPP

#include <deepseek/backend/cpu/measured/simd.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

namespace detail {
template <class T>
struct exp2_constants;

// 2^r = 1 + r · polynomial(r) for |r| <= 1/2. float: the polynomial of degree 5 with the smallest relative error
// (2e-9); double: Taylor's, whose first term left out is below 5e-18. Highest power first.
template <>
struct exp2_constants<float> {
    using Bits = std::uint32_t;
    static constexpr int kMantissa = 23;
    static constexpr float kBias = 127;
    static constexpr float kPolynomial[] = {0.000153533620F, 0.00133988739F, 0.00961843692F,
                                            0.0555033237F,   0.240226477F,   0.693147182F};
};
template <>
struct exp2_constants<double> {
    using Bits = std::uint64_t;
    static constexpr int kMantissa = 52;
    static constexpr double kBias = 1023;
    static constexpr double kPolynomial[] = {
        1.3691488853904124e-12, 2.5678435993488196e-11, 4.44553827187081e-10,   7.054911620801121e-09,
        1.0178086009239696e-07, 1.3215486790144305e-06, 1.5252733804059838e-05, 0.00015403530393381606,
        0.0013333558146428441,  0.009618129107628477,   0.055504108664821576,   0.2402265069591007,
        0.6931471805599453};
};
}  // namespace detail

/// 2^x in every lane, without a branch.
///
/// Precision: one unit in the last place; 0 where the result would be subnormal, infinity from half a power of two
///            below the end of the range, NaN of NaN
template <class T, int Lanes>
[[gnu::always_inline]] inline Simd<T, Lanes> exp2(Simd<T, Lanes> const& x) {
    using Constants = detail::exp2_constants<T>;
    using V = Simd<T, Lanes>;
    using Integers = Simd<typename Constants::Bits, Lanes>;
    constexpr T kSmallest = 1 - Constants::kBias;
    constexpr T kLargest = Constants::kBias + 1;
    // Adding this rounds to an integer, whose biased value then stands in the low bits of the sum.
    constexpr T kRound =
        T{3} * static_cast<T>(std::uint64_t{1} << (Constants::kMantissa - 1)) + Constants::kBias;

    V const inside = x < kSmallest ? V{} + kSmallest : (x > kLargest ? V{} + kLargest : x);  // keeps NaN
    V const rounded = inside + kRound;
    V const rest = inside - (rounded - kRound);
    V power = V{} + Constants::kPolynomial[0];
    for (std::size_t i = 1; i < std::size(Constants::kPolynomial); ++i) {
        power = power * rest + Constants::kPolynomial[i];
    }
    power = power * rest + T{1};
    auto const exponent = std::bit_cast<V>(std::bit_cast<Integers>(rounded) << Constants::kMantissa);
    return x < kSmallest ? V{} : power * exponent;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
