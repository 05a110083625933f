// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_PACKED_PRODUCT_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_PACKED_PRODUCT_HPP

#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/product.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cstring>

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

/// The block of c that stays in registers while one sum runs: kRows x (kVectors vectors). 8 x 3 vectors use 24 of 32
/// registers as sums, 3 for b and 1 for a; 4 x 3 use 12, 3 and 1 of 16. A step of depth loads 3 vectors and kRows
/// single numbers for 3 kRows multiply-adds, which processors load in less time, and the sums are independent and
/// many enough to hide the latency of a multiply-add (4 cycles, two per cycle).
template <class T>
struct MicroTile {
    static constexpr int kRows = kVectorRegisters == 32 ? 8 : 4;
    static constexpr int kVectors = 3;
    static constexpr int kCols = kVectors * kLanes<T>;
};

/// Sums run over at most this many steps of depth before they are added to c. A panel of a, 256 x 8 floats or 8 KiB,
/// then leaves room in the first cache for the panels of b that stream past it; twice the depth was measured equal.
/// It fixes the order of additions, so it depends on nothing but the type.
template <class T>
inline constexpr index_t kDepthBlock = 1024 / static_cast<index_t>(sizeof(T));

namespace detail {

// panel[p][i] = from(i, begin + p) for i in [0, width), 0 for i in [width, Width). Memory runs along p.
//
// Each row is a stream too short for the processor to follow by itself: the rows to come are asked for ahead of time.
template <index_t Width, class T, class S>
void pack_transposing(T* panel, Operand<S> const& from, index_t width, index_t begin, index_t depth) {
    constexpr auto kBlock = static_cast<int>(std::min<index_t>({8, kLanes<T>, Width}));
    constexpr index_t kChunk = 64;  // steps: their part of a panel, 64 · 48 floats, stays in the first cache
    for (index_t p0 = 0; p0 < depth; p0 += kChunk) {
        auto const p1 = std::min(depth, p0 + kChunk);
        for (index_t i0 = 0; i0 < Width; i0 += kBlock) {
            auto p = p0;
            if (i0 + kBlock <= width) {
                for (; p + kBlock <= p1; p += kBlock) {
                    if (p % kLine<S> == 0) {
                        for (int i = 0; i < kBlock; ++i) {
                            prefetch(from.at(i0 + i, begin + p), kBlock * from.stride);
                        }
                    }
                    Simd<T, kBlock> rows[kBlock];
                    for (int i = 0; i < kBlock; ++i) {
                        rows[i] = load<T, kBlock>(from.at(i0 + i, begin + p));
                    }
                    transpose<kBlock>(rows);
                    for (int i = 0; i < kBlock; ++i) {
                        store(panel + (p + i) * Width + i0, rows[i]);
                    }
                }
            }
            for (; p < p1; ++p) {
                for (auto i = i0; i < i0 + kBlock; ++i) {
                    panel[p * Width + i] = i < width ? convert<T>(*from.at(i, begin + p)) : T{};
                }
            }
        }
    }
}

// The same where memory runs along i.
template <index_t Width, class T, class S>
void pack_copying(T* panel, Operand<S> const& from, index_t width, index_t begin, index_t depth) {
    constexpr index_t kRowsAhead = 8;
    constexpr auto kStep = static_cast<int>(Width % kLanes<T> == 0 ? index_t{kLanes<T>} : Width);
    for (index_t p = 0; p < depth; ++p) {
        auto const* row = from.at(0, begin + p);
        for (index_t i = 0; i < Width; i += kLine<S>) {
            prefetch(row, kRowsAhead * from.stride + i);
        }
        auto* const to = panel + p * Width;
        if (width == Width) {
            for (index_t i = 0; i < Width; i += kStep) {
                store(to + i, load<T, kStep>(row + i));
            }
        } else {
            for (index_t i = 0; i < Width; ++i) {
                to[i] = i < width ? convert<T>(row[i]) : T{};
            }
        }
    }
}

// Packs `count` kept indices of an operand, for steps [begin, begin + depth), into panels of Width of them: each
// panel is [depth][Width] in T, the last one filled up with zeros.
template <index_t Width, class T, class S>
void pack(T* panels, Operand<S> const& from, index_t count, index_t begin, index_t depth) {
    // Rows that run along i are far apart in memory: panels share the pages and lines of a few rows at a time.
    auto const chunk = from.depth_contiguous ? depth : 8;
    for (index_t p = 0; p < depth; p += chunk) {
        auto const steps = std::min(chunk, depth - p);
        for (index_t i = 0; i < count; i += Width) {
            auto* const panel = panels + i * depth + p * Width;
            auto const width = std::min(Width, count - i);
            if (from.depth_contiguous) {
                pack_transposing<Width>(panel, from.from(i), width, begin + p, steps);
            } else {
                pack_copying<Width>(panel, from.from(i), width, begin + p, steps);
            }
        }
    }
}

// c (=|+=) a · bᵀ for packed panels a[depth][kRows] and b[depth][kCols]; uses the first Vectors vectors of b's rows,
// which are enough for c's columns. c may be smaller than the tile.
template <int Vectors, class T>
void multiply_panels(Strided<T> c, T const* a, T const* b, index_t depth, bool add) {
    using Tile = MicroTile<T>;
    constexpr int kWidth = kLanes<T>;
    using V = Simd<T, kWidth>;
    for (index_t i = 0; i < c.rows; ++i) {  // needed at the end of the sums
        for (int v = 0; v < Vectors; ++v) {
            __builtin_prefetch(c.row(i) + v * kWidth, 1);
        }
    }
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

// All of c for packed panels of all its rows and columns. A panel of a stays in the first cache while it meets every
// panel of b, which come from the second.
template <class T>
void multiply_all_panels(Strided<T> c, T const* a, T const* b, index_t depth, bool add) {
    using Tile = MicroTile<T>;
    for (index_t i = 0; i < c.rows; i += Tile::kRows) {
        auto const rows = std::min<index_t>(Tile::kRows, c.rows - i);
        for (index_t j = 0; j < c.cols; j += Tile::kCols) {
            auto const cols = std::min<index_t>(Tile::kCols, c.cols - j);
            multiply_panels<T>({c.row(i) + j, rows, cols, c.stride}, a + i * depth, b + j * depth, depth,
                               add);
        }
    }
}

}  // namespace detail

/// Columns of c whose block of b, packed, fits the second cache with room to spare: 16 panels of 48 KiB with 64-byte
/// vectors (such machines have 1 MiB and more), of 24 KiB with 32-byte ones (256 KiB and more).
template <class T>
inline constexpr index_t kTileCols = 16 * MicroTile<T>::kCols;

/// c (=|+=) a · bᵀ in the notation of Operand, by packing. For each block of depth: all of b, once; then a, a few
/// panels at a time.
template <class T, class A, class B>
[[gnu::noinline]] void multiply_packed(Product<T, A, B> const& product, Workspace& workspace) {
    using Tile = MicroTile<T>;
    constexpr index_t kGroup = 8 * Tile::kRows;  // 64 floats: whole cache lines where a lies along its rows
    static_assert(kDepthBlock<T> * (kTileCols<T> + kGroup) * index_t{sizeof(T)} <= kSmallestWorkspace);
    auto const [c, a, b, depth, add] = product;
    auto const blocks = std::max<index_t>(1, ceil_div(depth, kDepthBlock<T>));
    auto const block = round_up(ceil_div(depth, blocks), 8);  // nearly equal blocks, whole ones to transpose
    auto const scope = workspace.scope();
    auto* const right = workspace.take<T>(block * round_up(c.cols, Tile::kCols));
    auto* const left = workspace.take<T>(block * kGroup);
    for (index_t n = 0; n < blocks; ++n) {  // a product of depth 0 has one block too: it writes zeros
        auto const p = n * block;
        auto const steps = std::min(block, depth - p);
        detail::pack<Tile::kCols>(right, b, c.cols, p, steps);
        for (index_t i = 0; i < c.rows; i += kGroup) {
            auto const rows = std::min(kGroup, c.rows - i);
            detail::pack<Tile::kRows>(left, a.from(i), rows, p, steps);
            detail::multiply_all_panels<T>({c.row(i), rows, c.cols, c.stride}, left, right, steps,
                                           add || n > 0);
        }
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
