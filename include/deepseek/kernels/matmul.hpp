// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_KERNELS_MATMUL_HPP
#define DEEPSEEK_KERNELS_MATMUL_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/kernels/tile.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::kernels {

/// What the kernels of this file share: tiles of 32 x 64 elements of the result.
template <class T>
struct Product {
    using Sum = accumulate_t<T>;
    using Result = Tile<Sum, 64>;
    static constexpr int kThreads = Result::kThreads;
    using Shared = typename Result::Shared;

    DEEPSEEK_HD static index_t tiles_down(index_t rows) { return ceil_div(rows, Result::kRows); }
    DEEPSEEK_HD static index_t tiles_across(index_t cols) { return ceil_div(cols, Result::kColumns); }

    /// One tile: the rows of `out` from row0 on, `rows` of them at most, and its columns from col0 on.
    template <class Block, class A, class B>
    DEEPSEEK_HD static void tile(Block& block, Strided<T> out, index_t row0, index_t rows, index_t col0,
                                 index_t depth, A const& a, B const& b, bool add) {
        Result result;
        result.add_product(block, block.shared(), depth, a, b);
        result.for_each(block.thread(), [&](int i, int j, Sum sum) {
            if (i < rows && col0 + j < out.cols) {
                auto& to = out.row(row0 + i)[col0 + j];
                to = convert<T>(add ? convert<Sum>(to) + sum : sum);
            }
        });
    }
};

/// out (=|+=) op(a) · op(b), where op transposes if told so. One block is one tile of out.
template <class T, class A, class W>
struct Matmul {
    using Sum = accumulate_t<T>;
    using Tiles = Product<T>;
    using Result = typename Tiles::Result;
    static constexpr int kThreads = Tiles::kThreads;
    using Shared = typename Tiles::Shared;

    Strided<T> out;
    Strided<A const> a;
    Strided<W const> b;
    bool transpose_a;
    bool transpose_b;
    bool add;

    DEEPSEEK_HD index_t blocks() const { return Tiles::tiles_down(out.rows) * Tiles::tiles_across(out.cols); }

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const across = Tiles::tiles_across(out.cols);
        auto const row0 = block.index() / across * Result::kRows;
        auto const col0 = block.index() % across * Result::kColumns;
        Factor<Sum, A> const left{transpose_a ? a.data + row0 : a.row(row0), a.stride, out.rows - row0,
                                  !transpose_a};
        Factor<Sum, W> const right{transpose_b ? b.row(col0) : b.data + col0, b.stride, out.cols - col0,
                                   transpose_b};
        Tiles::tile(block, out, row0, out.rows - row0, col0, transpose_a ? a.rows : a.cols, left, right, add);
    }
};

/// out_g (=|+=) in_g · w_gᵀ, or in_g · w_g, for groups of rows. One block is one tile of one group's rows; there are as many
/// blocks as there may be tiles, however the rows are distributed, so that the host needs not know.
template <class T, class A, class W>
struct GroupedMatmul {
    using Sum = accumulate_t<T>;
    using Tiles = Product<T>;
    using Result = typename Tiles::Result;
    static constexpr int kThreads = Tiles::kThreads;
    using Shared = typename Tiles::Shared;

    Strided<T> out;
    Strided<A const> in;
    Strided<W const> weights;  ///< a matrix per group, one below the other
    std::int32_t const* offsets;
    index_t groups;
    bool transposed;
    bool add;

    // Every group may have one tile that is not full.
    DEEPSEEK_HD index_t blocks() const {
        return (out.rows / Result::kRows + groups) * Tiles::tiles_across(out.cols);
    }

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const across = Tiles::tiles_across(out.cols);
        auto left_over = block.index() / across;  // tiles from the group's first on
        index_t group = 0;
        for (; group < groups; ++group) {
            auto const tiles = Tiles::tiles_down(offsets[group + 1] - offsets[group]);
            if (left_over < tiles) {
                break;
            }
            left_over -= tiles;
        }
        if (group == groups) {
            return;
        }
        auto const row0 = offsets[group] + left_over * Result::kRows;
        auto const rows = offsets[group + 1] - row0;
        auto const col0 = block.index() % across * Result::kColumns;
        auto const* const own = weights.row(group * (weights.rows / groups));
        Factor<Sum, A> const left{in.row(row0), in.stride, rows, true};
        Factor<Sum, W> const right{transposed ? own + col0 * weights.stride : own + col0, weights.stride,
                                   out.cols - col0, transposed};
        Tiles::tile(block, out, row0, rows, col0, in.cols, left, right, add);
    }
};

/// w_g (=|+=) a_gᵀ · b_g. One block is one tile of one of the w.
template <class T, class A, class X>
struct GroupedGradient {
    using Sum = accumulate_t<T>;
    using Tiles = Product<T>;
    using Result = typename Tiles::Result;
    static constexpr int kThreads = Tiles::kThreads;
    using Shared = typename Tiles::Shared;

    Strided<T> weights;  ///< a matrix per group, one below the other
    Strided<A const> a;
    Strided<X const> b;
    std::int32_t const* offsets;
    bool add;

    DEEPSEEK_HD index_t blocks() const {
        return weights.rows / a.cols * Tiles::tiles_down(a.cols) * Tiles::tiles_across(weights.cols);
    }

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const across = Tiles::tiles_across(weights.cols);
        auto const down = Tiles::tiles_down(a.cols);
        auto const group = block.index() / (across * down);
        auto const i0 = block.index() / across % down * Result::kRows;
        auto const col0 = block.index() % across * Result::kColumns;
        auto const first = offsets[group];
        Factor<Sum, A> const left{a.row(first) + i0, a.stride, a.cols - i0, false};
        Factor<Sum, X> const right{b.row(first) + col0, b.stride, b.cols - col0, false};
        Tiles::tile(block, weights, group * a.cols + i0, a.cols - i0, col0, offsets[group + 1] - first, left,
                    right, add);
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::kernels

#endif
