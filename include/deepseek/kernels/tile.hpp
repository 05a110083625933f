// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_KERNELS_TILE_HPP
#define DEEPSEEK_KERNELS_TILE_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>

namespace deepseek::inline DEEPSEEK_ABI::kernels {

/// Element (i, p) of one factor of a product, p being what the product sums over; 0 for i behind the end.
template <class Sum, class T>
struct Factor {
    T const* data;
    index_t stride;
    index_t extent;    ///< how many i there are
    bool along_depth;  ///< p runs along a row of memory, i from row to row; otherwise the other way round

    DEEPSEEK_HD Sum operator()(int i, index_t p) const {
        return i < extent ? convert<Sum>(along_depth ? data[i * stride + p] : data[p * stride + i]) : Sum{0};
    }
};

/// 32 rows and `Columns` columns of a product, held by the 128 threads of a block: each has four rows and every sixteenth
/// column.
template <class Sum, int Columns>
struct Tile {
    static constexpr int kThreads = 128;
    static constexpr int kRows = 32;
    static constexpr int kColumns = Columns;
    static constexpr int kDepth = 16;  ///< of what is in shared memory at once
    static constexpr int kOwnRows = 4;
    static constexpr int kOwnColumns = Columns / 16;
    struct Shared {
        Sum a[kDepth][kRows + 1];
        Sum b[kDepth][Columns + 1];
    };

    Sum sums[kOwnRows][kOwnColumns] = {};

    DEEPSEEK_HD static int row(int thread, int r) { return thread / 16 * kOwnRows + r; }
    DEEPSEEK_HD static int column(int thread, int c) { return thread % 16 + 16 * c; }

    /// Adds a · bᵀ, in the order of the depth. A barrier has to stand before another use of `memory`, and of what a and b
    /// read.
    ///
    /// SkipZeros: where a is 0, b counts as 0, too, though it be no number.
    template <bool SkipZeros = false, class Block, class A, class B>
    DEEPSEEK_HD void add_product(Block& block, Shared& memory, index_t depth, A const& a, B const& b) {
        static_assert(Block::kThreads == kThreads);
        auto const thread = block.thread();
        for (index_t begin = 0; begin < depth; begin += kDepth) {
            if (begin > 0) {
                block.sync();
            }
            load<kRows>(thread, memory.a, begin, depth, a);
            load<Columns>(thread, memory.b, begin, depth, b);
            block.sync();
            for (int p = 0; p < kDepth; ++p) {
                for (int r = 0; r < kOwnRows; ++r) {
                    auto const factor = memory.a[p][row(thread, r)];
                    for (int c = 0; c < kOwnColumns; ++c) {
                        if (!SkipZeros || factor != 0) {
                            sums[r][c] += factor * memory.b[p][column(thread, c)];
                        }
                    }
                }
            }
        }
    }

    /// f(row, column, sum) for what this thread holds.
    template <class F>
    DEEPSEEK_HD void for_each(int thread, F const& f) {
        for (int r = 0; r < kOwnRows; ++r) {
            for (int c = 0; c < kOwnColumns; ++c) {
                f(row(thread, r), column(thread, c), sums[r][c]);
            }
        }
    }

private:
    template <int Extent, class F>
    DEEPSEEK_HD static void load(int thread, Sum (&to)[kDepth][Extent + 1], index_t begin, index_t depth,
                                 F const& from) {
        for (int at = thread; at < Extent * kDepth;
             at += kThreads) {  // neighbours in memory by neighbouring threads
            auto const i = from.along_depth ? at / kDepth : at % Extent;
            auto const p = from.along_depth ? at % kDepth : at / Extent;
            to[p][i] = begin + p < depth ? from(i, begin + p) : Sum{0};
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::kernels

#endif
