// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_AMX_PRODUCT_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_AMX_PRODUCT_HPP

#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/product.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512F__) && defined(__linux__)
#define DEEPSEEK_CPU_AMX 1
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#define DEEPSEEK_CPU_AMX 0
#endif

// Products of bf16 by bf16 on the tile registers of recent Xeons (AMX): 16 x 16 sums in float, 32 steps of depth per
// instruction, nearly thirty times what fused multiply-adds of float reach. The sum of an element runs over the whole
// depth in one tile, so it does not depend on how a product is cut.

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

#if DEEPSEEK_CPU_AMX

/// Whether the kernel lets this process use the tiles: they are large, so it wants to be asked.
inline bool has_amx() {
    constexpr long kRequestPermission = 0x1023;
    constexpr long kTileData = 18;
    static bool const permitted = ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
    return permitted;
}

namespace detail {

inline constexpr int kTileSide = 16;            // rows and columns of sums; pairs of steps of depth
inline constexpr index_t kTileDepth = 32;       // steps
inline constexpr index_t kTilePairs = 16 * 16;  // of bf16 in a tile, 1 KiB

using Pairs = Simd<std::uint32_t, kTileSide>;

/// The tiles of this thread, all of them 16 rows of 64 bytes, for as long as the object lives.
class AmxTiles {
public:
    AmxTiles() {
        struct alignas(64) Config {
            std::uint8_t palette = 1;
            std::uint8_t start_row = 0;
            std::uint8_t reserved[14] = {};
            std::uint16_t row_bytes[16] = {};
            std::uint8_t rows[16] = {};
        } config;
        std::fill_n(config.row_bytes, 8, std::uint16_t{64});
        std::fill_n(config.rows, 8, std::uint8_t{kTileSide});
        _tile_loadconfig(&config);
    }
    ~AmxTiles() { _tile_release(); }
    AmxTiles(AmxTiles const&) = delete;
    AmxTiles& operator=(AmxTiles const&) = delete;
};

// 16 kept indices by 16 pairs of steps of an operand, with zeros beyond `kept` and `steps`. PairsAlongRows: a row per kept
// index, as the left factor has it; otherwise a row per pair, as the right one has it.
template <bool PairsAlongRows>
void pack_tile(std::uint32_t* to, Operand<bf16> const& from, index_t kept, index_t p, index_t steps) {
    Pairs rows[kTileSide];
    if (from.depth_contiguous) {
        for (index_t i = 0; i < kTileSide; ++i) {
            rows[i] = Pairs{};
            if (i < kept) {
                std::memcpy(&rows[i], from.at(i, p), static_cast<std::size_t>(steps) * sizeof(bf16));
            }
        }
    } else {
        for (index_t pair = 0; pair < kTileSide; ++pair) {
            std::uint16_t even[kTileSide] = {};
            std::uint16_t odd[kTileSide] = {};
            if (2 * pair < steps) {
                std::memcpy(even, from.at(0, p + 2 * pair), static_cast<std::size_t>(kept) * sizeof(bf16));
            }
            if (2 * pair + 1 < steps) {
                std::memcpy(odd, from.at(0, p + 2 * pair + 1), static_cast<std::size_t>(kept) * sizeof(bf16));
            }
            for (int i = 0; i < kTileSide; ++i) {
                rows[pair][i] = static_cast<std::uint32_t>(odd[i]) << 16U | even[i];
            }
        }
    }
    if (from.depth_contiguous != PairsAlongRows) {
        transpose<kTileSide>(rows);
    }
    std::memcpy(to, rows, sizeof rows);
}

// `count` kept indices of an operand, 16 by 16, as tiles one after the other along the depth.
template <bool PairsAlongRows>
void pack_tiles(std::uint32_t* to, Operand<bf16> const& from, index_t count, index_t depth) {
    auto const tiles = ceil_div(depth, kTileDepth);
    for (index_t i = 0; i < count; i += kTileSide) {
        auto const part = from.from(i);
        auto const kept = std::min<index_t>(kTileSide, count - i);
        for (index_t t = 0; t < tiles; ++t) {
            auto const steps = std::min(kTileDepth, depth - t * kTileDepth);
            pack_tile<PairsAlongRows>(to + (i / kTileSide * tiles + t) * kTilePairs, part, kept,
                                      t * kTileDepth, steps);
        }
    }
}

// sums [32, 32] = the products of two panels of a and two of b, each of `tiles` tiles.
inline void multiply_tiles(float* sums, std::uint32_t const* a, std::uint32_t const* b, index_t tiles) {
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

}  // namespace detail

/// Columns of a tile of a product whose packed factor takes 512 KiB at most, which stays in the second cache.
inline index_t amx_columns(index_t depth) {
    return std::max<index_t>(32, (index_t{1} << 18) / round_up(std::max<index_t>(depth, 1), 32) / 32 * 32);
}

/// c (=|+=) a · bᵀ in the notation of Operand. All of b is packed, then a by 32 rows.
template <class T>
[[gnu::noinline]] void multiply_on_amx(Product<T, bf16, bf16> const& product, Workspace& workspace) {
    constexpr index_t kSide = 2 * detail::kTileSide;
    auto const& [c, a, b, depth, add] = product;
    auto const tiles = ceil_div(depth, detail::kTileDepth);
    auto const scope = workspace.scope();
    auto* const right = workspace.take<std::uint32_t>(round_up(c.cols, kSide) / detail::kTileSide * tiles *
                                                      detail::kTilePairs);
    auto* const left = workspace.take<std::uint32_t>(2 * tiles * detail::kTilePairs);
    alignas(64) float sums[kSide * kSide];
    detail::pack_tiles<false>(right, b, c.cols, depth);
    detail::AmxTiles const registers;
    for (index_t i = 0; i < c.rows; i += kSide) {
        auto const rows = std::min(kSide, c.rows - i);
        detail::pack_tiles<true>(left, a.from(i), rows, depth);
        for (index_t j = 0; j < c.cols; j += kSide) {
            auto const cols = std::min(kSide, c.cols - j);
            detail::multiply_tiles(sums, left, right + j / detail::kTileSide * tiles * detail::kTilePairs,
                                   tiles);
            for (index_t r = 0; r < rows; ++r) {
                auto* const to = c.row(i + r) + j;
                auto const* const from = sums + r * kSide;
                if (add) {
                    std::transform(from, from + cols, to, to, [](float sum, T before) {
                        return convert<T>(convert<float>(before) + sum);
                    });
                } else {
                    std::transform(from, from + cols, to, [](float sum) { return convert<T>(sum); });
                }
            }
        }
    }
}

#else

inline bool has_amx() { return false; }
inline index_t amx_columns(index_t) { return 32; }
template <class T>
void multiply_on_amx(Product<T, bf16, bf16> const&, Workspace&) {}

#endif

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
