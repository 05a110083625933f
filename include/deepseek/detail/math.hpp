// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DETAIL_MATH_HPP
#define DEEPSEEK_DETAIL_MATH_HPP

#include <deepseek/config.hpp>
#include <deepseek/detail/portable.hpp>

#include <cmath>
#include <cstdint>

// Elementary functions without branches, calls or errno, so that compilers vectorise the loops that use them. The
// float versions are for activations; the double overloads of exp and sqrt are the standard library's, because
// gradient checks need every digit. Polynomials are minimax fits (Remez) on the reduced ranges.

namespace deepseek::inline DEEPSEEK_ABI::detail {

/// e^x. Within 1 ulp; results below the smallest normal number become 0.
inline constexpr DEEPSEEK_HD float exp(float x) {
    constexpr float kRound = 0x1.8p23F;                // adding it leaves the nearest integer in the low bits
    constexpr float kLn2High = 0x1.62e4p-1F;           // 15 bits: exact times any n in range
    constexpr float kLn2Low = 1.42860682031e-6F;       // the rest of ln 2
    constexpr float kMost = 0x1.62e42ep6F;             // the largest x with a finite result
    constexpr float kSmallest = -0x1.5d589ep6F;        // the smallest x with a normal result
    auto const shifted = x * 1.44269504089F + kRound;  // n = round(x / ln 2)
    auto const n = shifted - kRound;
    auto const r = (x - n * kLn2High) - n * kLn2Low;  // |r| <= ln 2 / 2
    auto q = 0.00138145947872F;                       // e^r = 1 + r + r² q(r)
    q = q * r + 0.00836871680289F;
    q = q * r + 0.0416683880977F;
    q = q * r + 0.166665206328F;
    q = q * r + 0.499999934477F;
    auto const p = (q * (r * r) + r) + 1.0F;
    // times 2^n: n is added to the exponent; the shift drops the bits that kRound brought along
    auto const bits = bit_cast<std::uint32_t>(p) + (bit_cast<std::uint32_t>(shifted) << 23U);
    auto y = bit_cast<float>(bits);
    y = x < kSmallest ? 0.0F : y;
    y = x > kMost ? kInfinity<float> : y;
    return x == x ? y : x;  // NaN
}
/// The standard library's.
inline DEEPSEEK_HD double exp(double x) { return std::exp(x); }

/// 1 / (1 + e^-x).
template <class T>
constexpr DEEPSEEK_HD T sigmoid(T x) {
    return T{1} / (T{1} + detail::exp(-x));
}

/// Square root of x >= 0, within 1 ulp. (std::sqrt may set errno, which keeps compilers from vectorising it.)
inline constexpr DEEPSEEK_HD float sqrt(float x) {
    constexpr float kTiny = 0x1p-100F;  // below, scaled: the bits of denormals are no good first guess
    auto const v = x < kTiny ? x * 0x1p100F : x;
    auto y = bit_cast<float>(0x5F37'5A86U - (bit_cast<std::uint32_t>(v) >> 1U));  // ~ 1 / sqrt(v)
    auto const half = 0.5F * v;
    y = y * (1.5F - (half * y) * y);
    y = y * (1.5F - (half * y) * y);
    auto root = v * y;
    root += 0.5F * y * (v - root * root);
    root = x < kTiny ? root * 0x1p-50F : root;
    return x <= kLargest<float> ? root : x;  // infinity and NaN
}
/// The standard library's.
inline DEEPSEEK_HD double sqrt(double x) { return std::sqrt(x); }

/// Both of one angle.
struct SinCos {
    double sin;
    double cos;
};

/// Sine and cosine of an angle below 2^26 in magnitude, within 2 ulp of the larger of the two.
inline constexpr DEEPSEEK_HD SinCos sin_cos(double angle) {
    constexpr double kRound = 0x1.8p52;
    // pi / 2 in three parts; the first two have 27 bits, so that they are exact times any n in range.
    constexpr double kHalfPi1 = 0x1.921fb54p0;
    constexpr double kHalfPi2 = 0x1.10b4610p-30;
    constexpr double kHalfPi3 = 0x1.a62633145c06ep-58;
    auto const shifted = angle * 0.63661977236758134308 + kRound;
    auto const n = shifted - kRound;
    auto const quadrant = bit_cast<std::uint64_t>(shifted);                 // n in the low bits
    auto const r = ((angle - n * kHalfPi1) - n * kHalfPi2) - n * kHalfPi3;  // |r| <= pi / 4
    auto const z = r * r;
    auto s = 1.5896197681827500597e-10;  // sin r = r + r³ s(r²)
    s = s * z - 2.5050747219250647096e-8;
    s = s * z + 2.7557313618026025439e-6;
    s = s * z - 0.00019841269829580198051;
    s = s * z + 0.0083333333333221073847;
    s = s * z - 0.16666666666666630687;
    auto const sine = r + r * (z * s);
    auto c = -1.1358515635027677743e-11;  // cos r = 1 - r² / 2 + r⁴ c(r²)
    c = c * z + 2.0875700448823275197e-9;
    c = c * z - 2.7557314176482161182e-7;
    c = c * z + 0.000024801587288842240849;
    c = c * z - 0.0013888888888873041723;
    c = c * z + 0.04166666666666659284;
    auto const cosine = (1.0 - 0.5 * z) + (z * z) * c;
    bool const odd = (quadrant & 1U) != 0;  // odd quadrants swap the two
    auto const sin_bits = bit_cast<std::uint64_t>(odd ? cosine : sine) ^ ((quadrant & 2U) << 62U);
    auto const cos_bits = bit_cast<std::uint64_t>(odd ? sine : cosine) ^ (((quadrant + 1U) & 2U) << 62U);
    return {bit_cast<double>(sin_bits), bit_cast<double>(cos_bits)};
}

}  // namespace deepseek::inline DEEPSEEK_ABI::detail

#endif
