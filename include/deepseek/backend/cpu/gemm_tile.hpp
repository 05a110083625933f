// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_GEMM_TILE_HPP
#define DEEPSEEK_BACKEND_CPU_GEMM_TILE_HPP

#include <deepseek/backend/cpu/gemm_operand.hpp>
#include <deepseek/backend/cpu/simd.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

/// The block of c that stays in registers while one sum runs: kRows x (kVectors vectors). 8 x 3 vectors use 24 of 32
/// registers as sums, 3 for b and 1 for a; 4 x 3 use 12, 3 and 1 of 16. Each step of depth then loads 3 vectors and
/// kRows single numbers for 3 kRows multiply-adds: fewer loads than any machine can do meanwhile, and enough
/// independent sums to hide the latency of a multiply-add (4 cycles, two per cycle).
template <class T>
struct MicroTile {
    static constexpr int kRows = kVectorRegisters == 32 ? 8 : 4;
    static constexpr int kVectors = 3;
    static constexpr int kCols = kVectors * kLanes<T>;
};

/// Sums run over at most this many steps of depth before they are added to c: the packed rows of a (kRows wide) and
/// columns of b then stay in the first and second cache. Part of the result's definition (it fixes the order of
/// additions), so it depends on nothing but the type.
template <class T>
inline constexpr index_t kDepthBlock = 2048 / static_cast<index_t>(sizeof(T));

namespace detail {

// N x N numbers, rows to columns; from rows `stride` apart, to rows `Width` apart.
template <int N, class T, index_t Width, class S>
[[gnu::always_inline]] inline void transpose_block(T* to, S const* from, index_t stride) {
    if constexpr (N == 4) {
        auto const r0 = load<T, 4>(from);
        auto const r1 = load<T, 4>(from + stride);
        auto const r2 = load<T, 4>(from + 2 * stride);
        auto const r3 = load<T, 4>(from + 3 * stride);
        auto const low01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
        auto const low23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
        auto const high01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
        auto const high23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
        store(to, __builtin_shufflevector(low01, low23, 0, 1, 4, 5));
        store(to + Width, __builtin_shufflevector(low01, low23, 2, 3, 6, 7));
        store(to + 2 * Width, __builtin_shufflevector(high01, high23, 0, 1, 4, 5));
        store(to + 3 * Width, __builtin_shufflevector(high01, high23, 2, 3, 6, 7));
    } else {
        static_assert(N == 2);
        auto const r0 = load<T, 2>(from);
        auto const r1 = load<T, 2>(from + stride);
        store(to, __builtin_shufflevector(r0, r1, 0, 2));
        store(to + Width, __builtin_shufflevector(r0, r1, 1, 3));
    }
}

/// Copies `width` <= Width kept indices of an operand, for steps [begin, begin + depth), to panel[depth][Width] in T;
/// the rest of a row is zero.
template <index_t Width, class T, class S>
void pack_panel(T* panel, Operand<S> const& from, index_t width, index_t begin, index_t depth) {
    if (width < Width) {
        std::fill(panel, panel + depth * Width, T{});
    }
    if (!from.depth_contiguous) {
        constexpr int kStep = Width % kLanes<T> == 0 ? kLanes<T> : static_cast<int>(Width);
        for (index_t p = 0; p < depth; ++p) {
            auto const* row = from.at(0, begin + p);
            auto* to = panel + p * Width;
            if (width == Width) {
                for (index_t i = 0; i < Width; i += kStep) {
                    store(to + i, load<T, kStep>(row + i));
                }
            } else {
                for (index_t i = 0; i < width; ++i) {
                    to[i] = convert<T>(row[i]);
                }
            }
        }
        return;
    }
    constexpr int kBlock = std::min(4, kLanes<T>);
    constexpr index_t kChunk = 64;  // steps whose panel rows (64 · 48 floats, 12 KiB) stay in the first cache
    for (index_t p0 = 0; p0 < depth; p0 += kChunk) {
        auto const p1 = std::min(depth, p0 + kChunk);
        index_t i = 0;
        for (; i + kBlock <= width; i += kBlock) {
            auto const* row = from.at(i, begin);
            index_t p = p0;
            for (; p + kBlock <= p1; p += kBlock) {
                transpose_block<kBlock, T, Width>(panel + p * Width + i, row + p, from.stride);
            }
            for (; p < p1; ++p) {
                for (index_t r = 0; r < kBlock; ++r) {
                    panel[p * Width + i + r] = convert<T>(row[r * from.stride + p]);
                }
            }
        }
        for (; i < width; ++i) {
            auto const* row = from.at(i, begin);
            for (auto p = p0; p < p1; ++p) {
                panel[p * Width + i] = convert<T>(row[p]);
            }
        }
    }
}

/// c (=|+=) a · bᵀ for packed panels a[depth][kRows] and b[depth][kCols]; uses the first Vectors vectors of b's rows,
/// which are enough for c's columns. c may be smaller than the tile.
template <int Vectors, class T>
void multiply_panels(Strided<T> c, T const* a, T const* b, index_t depth, bool add) {
    using Tile = MicroTile<T>;
    constexpr int kWidth = kLanes<T>;
    using V = Simd<T, kWidth>;
    V sums[Tile::kRows][Vectors] = {};
    for (index_t p = 0; p < depth; ++p) {
        V right[Vectors];
        for (int v = 0; v < Vectors; ++v) {
            right[v] = load<T, kWidth>(b + v * kWidth);
        }
        for (int i = 0; i < Tile::kRows; ++i) {
            for (int v = 0; v < Vectors; ++v) {
                sums[i][v] += a[i] * right[v];
            }
        }
        a += Tile::kRows;
        b += Tile::kCols;
    }
    if (c.rows == Tile::kRows && c.cols == Vectors * kWidth) {
        for (int i = 0; i < Tile::kRows; ++i) {
            for (int v = 0; v < Vectors; ++v) {
                auto* to = c.row(i) + v * kWidth;
                store(to, add ? load<T, kWidth>(to) + sums[i][v] : sums[i][v]);
            }
        }
        return;
    }
    alignas(kVectorBytes) T edge[Tile::kRows][Vectors * kWidth];
    std::memcpy(edge, sums, sizeof edge);
    for (index_t i = 0; i < c.rows; ++i) {
        for (index_t j = 0; j < c.cols; ++j) {
            c.row(i)[j] = add ? c.row(i)[j] + edge[i][j] : edge[i][j];
        }
    }
}

template <class T>
void multiply_panels(Strided<T> c, T const* a, T const* b, index_t depth, bool add) {
    if (c.cols > 2 * kLanes<T>) {
        multiply_panels<3>(c, a, b, depth, add);
    } else if (c.cols > kLanes<T>) {
        multiply_panels<2>(c, a, b, depth, add);
    } else {
        multiply_panels<1>(c, a, b, depth, add);
    }
}

}  // namespace detail

/// Tiles by packing and vector kernels: per block of depth, b is packed once into panels that stay in the second
/// cache; a is packed panel by panel, each meets all of b while it is in the first cache.
struct PackedTiles {
    /// Columns that keep a packed block of b within half of a 1 MiB second cache.
    template <class T>
    static constexpr index_t kCols = 8 * MicroTile<T>::kCols;

    template <class T, class A, class B>
    static void multiply(Product<T, A, B> const& product, Workspace& workspace) {
        using Tile = MicroTile<T>;
        auto const [c, a, b, depth, add] = product;
        Workspace::Scope scope{workspace};
        auto const blocks = std::max<index_t>(1, ceil_div(depth, kDepthBlock<T>));
        auto const block = ceil_div(depth, blocks);  // blocks of nearly equal depth
        auto* const right = scope.take<T>(block * round_up(c.cols, Tile::kCols));
        auto* const left = scope.take<T>(block * Tile::kRows);
        for (index_t p = 0; p == 0 || p < depth; p += block) {
            auto const steps = std::min(block, depth - p);
            for (index_t j = 0; j < c.cols; j += Tile::kCols) {
                auto const cols = std::min<index_t>(Tile::kCols, c.cols - j);
                detail::pack_panel<Tile::kCols>(right + j * steps, b.from(j), cols, p, steps);
            }
            for (index_t i = 0; i < c.rows; i += Tile::kRows) {
                auto const rows = std::min<index_t>(Tile::kRows, c.rows - i);
                detail::pack_panel<Tile::kRows>(left, a.from(i), rows, p, steps);
                for (index_t j = 0; j < c.cols; j += Tile::kCols) {
                    auto const cols = std::min<index_t>(Tile::kCols, c.cols - j);
                    detail::multiply_panels<T>({c.row(i) + j, rows, cols, c.stride}, left, right + j * steps,
                                               steps, add || p > 0);
                }
            }
            if (depth == 0) {
                break;
            }
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
