// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_BF16_DOTS_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_BF16_DOTS_HPP

#include <deepseek/backend/cpu/measured/pair_product.hpp>
#include <deepseek/core/index.hpp>

#include <cstdint>
#include <cstring>

#if defined(__AVX512BF16__) && defined(__AVX512F__)
#define DEEPSEEK_CPU_BF16_DOTS 1
#include <immintrin.h>
#else
#define DEEPSEEK_CPU_BF16_DOTS 0
#endif

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

#if DEEPSEEK_CPU_BF16_DOTS

/// Multiplies with the dot products of AVX512-BF16: one instruction adds two products to each of 16 sums, as fast as a
/// multiply-add of float adds one on the processors that have no tile registers. The block in registers is that of
/// MicroTile, 8 x 3 vectors; two of them share a packed panel of b.
struct Bf16DotKernel {
    static constexpr int kRows = detail::kTileSide;
    static constexpr int kCols = 3 * detail::kTileSide;
    static constexpr bool kLeftPairsAlongRows = false;

    /// sums [kRows, kCols] = the products of a panel of a and of those of b that have columns.
    void operator()(float* sums, std::uint32_t const* a, std::uint32_t const* b, index_t tiles,
                    index_t cols) const {
        for (int half = 0; half < kRows; half += kRegisterRows) {
            auto* const to = sums + half * kCols;
            if (cols > 2 * detail::kTileSide) {
                multiply<3>(to, a + half, b, tiles);
            } else if (cols > detail::kTileSide) {
                multiply<2>(to, a + half, b, tiles);
            } else {
                multiply<1>(to, a + half, b, tiles);
            }
        }
    }

private:
    static constexpr int kRegisterRows = 8;

    static __m512bh as_pairs(__m512i bits) {
        __m512bh pairs;
        std::memcpy(&pairs, &bits, sizeof pairs);
        return pairs;
    }

    template <int Vectors>
    [[gnu::noinline]] static void multiply(float* to, std::uint32_t const* a, std::uint32_t const* b,
                                           index_t tiles) {
        constexpr index_t kSide = detail::kTileSide;
        auto const panel = tiles * detail::kTilePairs;
        __m512 sums[kRegisterRows][Vectors];
        for (auto& row : sums) {
            for (auto& sum : row) {
                sum = _mm512_setzero_ps();
            }
        }
        for (index_t pair = 0; pair < tiles * kSide; ++pair) {
            __m512bh right[Vectors];
            for (int v = 0; v < Vectors; ++v) {
                right[v] = as_pairs(_mm512_loadu_si512(b + v * panel + pair * kSide));
            }
            for (int i = 0; i < kRegisterRows; ++i) {
                auto const left = as_pairs(_mm512_set1_epi32(static_cast<int>(a[pair * kSide + i])));
                for (int v = 0; v < Vectors; ++v) {
                    sums[i][v] = _mm512_dpbf16_ps(sums[i][v], left, right[v]);
                }
            }
        }
        for (int i = 0; i < kRegisterRows; ++i) {
            for (int v = 0; v < Vectors; ++v) {
                _mm512_storeu_ps(to + i * kCols + v * kSide, sums[i][v]);
            }
        }
    }
};

#endif

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
