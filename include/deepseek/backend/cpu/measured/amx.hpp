// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_AMX_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_AMX_HPP

#include <deepseek/backend/cpu/measured/pair_product.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <cstdint>

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512F__) && defined(__linux__)
#define DEEPSEEK_CPU_AMX 1
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#define DEEPSEEK_CPU_AMX 0
#endif

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

#if DEEPSEEK_CPU_AMX

/// Whether the kernel lets this process use the tiles: they are large, so it wants to be asked.
inline bool has_amx() {
    constexpr long kRequestPermission = 0x1023;
    constexpr long kTileData = 18;
    static bool const permitted = ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
    return permitted;
}

/// Multiplies on the tile registers of recent Xeons (AMX): 16 x 16 sums in float, 32 steps of depth per instruction,
/// nearly thirty times what fused multiply-adds of float reach. The tiles of this thread are set up for as long as the
/// object lives, all of them 16 rows of 64 bytes.
class AmxKernel {
public:
    static constexpr int kRows = 32;
    static constexpr int kCols = 32;
    static constexpr bool kLeftPairsAlongRows = true;

    AmxKernel() {
        struct alignas(64) Config {
            std::uint8_t palette = 1;
            std::uint8_t start_row = 0;
            std::uint8_t reserved[14] = {};
            std::uint16_t row_bytes[16] = {};
            std::uint8_t rows[16] = {};
        } config;
        std::fill_n(config.row_bytes, 8, std::uint16_t{64});
        std::fill_n(config.rows, 8, std::uint8_t{detail::kTileSide});
        _tile_loadconfig(&config);
    }
    ~AmxKernel() { _tile_release(); }
    AmxKernel(AmxKernel const&) = delete;
    AmxKernel& operator=(AmxKernel const&) = delete;

    /// sums [kRows, kCols] = the products of two panels of a and two of b.
    void operator()(float* sums, std::uint32_t const* a, std::uint32_t const* b, index_t tiles,
                    index_t /*cols*/) const {
        using detail::kTilePairs;
        using detail::kTileSide;
        auto const* const a1 = a + tiles * kTilePairs;
        auto const* const b1 = b + tiles * kTilePairs;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (index_t t = 0; t < tiles; ++t) {
            _tile_loadd(4, a + t * kTilePairs, 64);
            _tile_loadd(6, b + t * kTilePairs, 64);
            _tile_loadd(7, b1 + t * kTilePairs, 64);
            _tile_loadd(5, a1 + t * kTilePairs, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        constexpr int kStride = 2 * kTileSide * static_cast<int>(sizeof(float));
        _tile_stored(0, sums, kStride);
        _tile_stored(1, sums + kTileSide, kStride);
        _tile_stored(2, sums + 2 * kTileSide * kTileSide, kStride);
        _tile_stored(3, sums + 2 * kTileSide * kTileSide + kTileSide, kStride);
    }
};

#else

inline bool has_amx() { return false; }

#endif

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
