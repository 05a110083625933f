// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DETAIL_SIN_COS_HPP
#define DEEPSEEK_DETAIL_SIN_COS_HPP

#include <deepseek/config.hpp>
#include <deepseek/detail/portable.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::detail {

/// Both of one angle.
struct SinCos {
    double sin;
    double cos;
};

/// Sine and cosine of an angle below 2^26 in magnitude, within 2 ulp of the larger of the two. Without branches and calls,
/// so that compilers vectorise the loops that use it; polynomials are minimax fits (Remez) on the reduced range.
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
