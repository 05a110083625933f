// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_PAIR_PRODUCT_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_PAIR_PRODUCT_HPP

#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/product.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

// Products of bf16 by bf16 with instructions that take two steps of depth at once, summed in float. Both factors are packed
// into tiles of 16 kept indices by 16 pairs of steps. The sum of an element runs over the whole depth in one register, so
// it does not depend on how a product is cut.
//
// What multiplies is a kernel: kRows x kCols sums of `tiles` tiles of depth, by operator()(sums, left, right, tiles, cols).

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

namespace detail {

inline constexpr int kTileSide = 16;            // kept indices; pairs of steps of depth
inline constexpr index_t kTileDepth = 32;       // steps
inline constexpr index_t kTilePairs = 16 * 16;  // in a tile, 1 KiB

using Pairs = Simd<std::uint32_t, kTileSide>;

// 16 kept indices by 16 pairs of steps of an operand, with zeros beyond `kept` and `steps`. PairsAlongRows: a row per kept
// index, as the left factor has it; otherwise a row per pair, as the right one has it.
template <bool PairsAlongRows>
void pack_tile(std::uint32_t* to, Operand<bf16> const& from, index_t kept, index_t p, index_t steps) {
    // Copies of a size that the compiler knows are one instruction, and most tiles are whole.
    auto const copy = [](void* copied, bf16 const* elements, index_t count, auto whole) {
        if (count == whole()) {
            std::memcpy(copied, elements, whole() * sizeof(bf16));
        } else {
            std::memcpy(copied, elements, static_cast<std::size_t>(count) * sizeof(bf16));
        }
    };
    constexpr std::integral_constant<index_t, kTileSide> kSide;
    constexpr std::integral_constant<index_t, kTileDepth> kDepth;
    Pairs rows[kTileSide];
    if (from.depth_contiguous) {
        for (index_t i = 0; i < kTileSide; ++i) {
            rows[i] = Pairs{};
            if (i < kept) {
                prefetch(from.at(i, p),
                         kTileSide * from.stride);  // a row's streams are too short to be followed
                copy(&rows[i], from.at(i, p), steps, kDepth);
            }
        }
    } else {
        for (index_t pair = 0; pair < kTileSide; ++pair) {
            std::uint16_t even[kTileSide] = {};
            std::uint16_t odd[kTileSide] = {};
            if (2 * pair < steps) {
                prefetch(from.at(0, p + 2 * pair), kTileDepth * from.stride);
                prefetch(from.at(0, p + 2 * pair + 1), kTileDepth * from.stride);
                copy(even, from.at(0, p + 2 * pair), kept, kSide);
            }
            if (2 * pair + 1 < steps) {
                copy(odd, from.at(0, p + 2 * pair + 1), kept, kSide);
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

// `count` kept indices of an operand, 16 by 16, as tiles one after the other along the depth. They are packed in the order
// in which they lie in memory.
template <bool PairsAlongRows>
void pack_tiles(std::uint32_t* to, Operand<bf16> const& from, index_t count, index_t depth) {
    auto const along = ceil_div(depth, kTileDepth);
    auto const across = ceil_div(count, index_t{kTileSide});
    for (index_t n = 0; n < along * across; ++n) {
        auto const i = (from.depth_contiguous ? n / along : n % across) * kTileSide;
        auto const t = from.depth_contiguous ? n % along : n / across;
        pack_tile<PairsAlongRows>(to + (i / kTileSide * along + t) * kTilePairs, from.from(i),
                                  std::min<index_t>(kTileSide, count - i), t * kTileDepth,
                                  std::min(kTileDepth, depth - t * kTileDepth));
    }
}

}  // namespace detail

/// Columns of a tile of a product whose packed factor takes 512 KiB at most, which stays in the second cache.
template <class Kernel>
index_t pair_columns(index_t depth) {
    auto const cols = (index_t{1} << 18) / round_up(std::max<index_t>(depth, 1), detail::kTileDepth);
    return std::max<index_t>(1, cols / Kernel::kCols) * Kernel::kCols;
}

/// c (=|+=) a · bᵀ in the notation of Operand. All of b is packed, then a by the rows of the kernel.
template <class Kernel, class T>
[[gnu::noinline]] void multiply_pairs(Product<T, bf16, bf16> const& product, Workspace& workspace) {
    using detail::kTilePairs;
    using detail::kTileSide;
    constexpr index_t kRows = Kernel::kRows;
    constexpr index_t kCols = Kernel::kCols;
    auto const& [c, a, b, depth, add] = product;
    auto const tiles = ceil_div(depth, detail::kTileDepth);
    auto const panel = tiles * kTilePairs;  // 16 kept indices
    auto const scope = workspace.scope();
    auto* const right = workspace.take<std::uint32_t>(round_up(c.cols, kCols) / kTileSide * panel);
    auto* const left = workspace.take<std::uint32_t>(kRows / kTileSide * panel);
    alignas(64) float sums[kRows * kCols];
    detail::pack_tiles<false>(right, b, c.cols, depth);
    Kernel const kernel;
    for (index_t i = 0; i < c.rows; i += kRows) {
        auto const rows = std::min(kRows, c.rows - i);
        detail::pack_tiles<Kernel::kLeftPairsAlongRows>(left, a.from(i), rows, depth);
        for (index_t j = 0; j < c.cols; j += kCols) {
            auto const cols = std::min(kCols, c.cols - j);
            kernel(sums, left, right + j / kTileSide * panel, tiles, cols);
            for (index_t r = 0; r < rows; ++r) {
                auto* const to = c.row(i + r) + j;
                auto const* const from = sums + r * kCols;
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

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
