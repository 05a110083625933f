// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_GEMM_HPP
#define DEEPSEEK_BACKEND_CPU_GEMM_HPP

#include <deepseek/backend/cpu/gemm_operand.hpp>
#include <deepseek/backend/cpu/gemm_tile.hpp>
#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

namespace detail {

// How c is cut into tiles. Any cut gives the same bits, because the sum of one element never depends on its tile.
struct Cut {
    index_t rows = 0;  // of a tile
    index_t cols = 0;
    index_t down = 0;  // tiles
    index_t across = 0;

    index_t tiles() const { return down * across; }
};

template <class Tiles, class T>
Cut cut(index_t rows, index_t cols, int threads) {
    if (rows <= 0 || cols <= 0) {
        return {};
    }
    constexpr index_t kRowUnit = 64;
    Cut result;
    result.across = ceil_div(cols, Tiles::template kCols<T>);
    result.cols = round_up(ceil_div(cols, result.across), 16);
    result.across = ceil_div(cols, result.cols);
    auto const wanted = threads == 1 ? 1 : ceil_div(4 * index_t{threads}, result.across);
    result.rows = std::clamp<index_t>(round_up(ceil_div(rows, wanted), kRowUnit), kRowUnit, 1024);
    result.down = ceil_div(rows, result.rows);
    return result;
}

template <class Tiles, class T, class A, class B>
void multiply_tile(Product<T, A, B> const& product, Cut const& cut, index_t tile, Workspace& workspace) {
    auto const row = tile % cut.down * cut.rows;
    auto const col = tile / cut.down * cut.cols;
    Tiles::multiply(product.tile(row, std::min(cut.rows, product.c.rows - row), col,
                                 std::min(cut.cols, product.c.cols - col)),
                    workspace);
}

}  // namespace detail

#if !defined(DEEPSEEK_CPU_EIGEN_GEMM)
using Tiles = PackedTiles;
#endif

/// c (=|+=) op(a) · op(b), where op transposes if told so.
///
/// Shapes:    c [m, n]; op(a) [m, k]; op(b) [k, n]; rows at any stride
/// Precision: sums in T, over blocks of depth of fixed size: the same bits for any number of threads
/// Cost:      no allocation once a product of this size has run on every worker
template <class Engine = Tiles, class T, class A, class B>
void gemm(Pool& pool, Strided<T> c, Strided<A const> a, bool transpose_a, Strided<B const> b,
          bool transpose_b, bool add) {
    auto const depth = transpose_a ? a.rows : a.cols;
    DEEPSEEK_ASSERT((transpose_a ? a.cols : a.rows) == c.rows);
    DEEPSEEK_ASSERT((transpose_b ? b.rows : b.cols) == c.cols);
    DEEPSEEK_ASSERT((transpose_b ? b.cols : b.rows) == depth);
    Product<T, A, B> const product{
        c, {a.data, a.stride, !transpose_a}, {b.data, b.stride, transpose_b}, depth, add};
    auto const cut = detail::cut<Engine, T>(c.rows, c.cols, pool.threads());
    pool.run(cut.tiles(), [&](index_t tile, int worker) {
        detail::multiply_tile<Engine>(product, cut, tile, pool.workspace(worker));
    });
}

namespace detail {

// Runs the tiles of one product per group as a single set of tasks. product_of(g) gives the product of group g.
template <class Engine, class T, class ProductOf>
void run_groups(Pool& pool, index_t groups, ProductOf const& product_of) {
    auto const cut_of = [&](auto const& product) {
        return detail::cut<Engine, T>(product.c.rows, product.c.cols, pool.threads());
    };
    index_t tasks = 0;
    for (index_t g = 0; g < groups; ++g) {
        tasks += cut_of(product_of(g)).tiles();
    }
    pool.run(tasks, [&](index_t task, int worker) {
        for (index_t g = 0;; ++g) {
            auto const product = product_of(g);
            auto const cut = cut_of(product);
            if (task < cut.tiles()) {
                multiply_tile<Engine>(product, cut, task, pool.workspace(worker));
                return;
            }
            task -= cut.tiles();
        }
    });
}

}  // namespace detail

/// y_g (=|+=) x_g · w_gᵀ for every group g of rows [offsets[g], offsets[g + 1]).
///
/// Shapes:    y [rows, N]; x [rows, K]; w [groups · N, K]; offsets [groups + 1]
template <class Engine = Tiles, class T, class A, class B>
void grouped_gemm_nt(Pool& pool, Strided<T> y, Strided<A const> x, Strided<B const> w,
                     std::int32_t const* offsets, index_t groups, bool add) {
    auto const n = y.cols;
    detail::run_groups<Engine, T>(pool, groups, [&](index_t g) {
        index_t const begin = offsets[g];
        return Product<T, A, B>{{y.row(begin), offsets[g + 1] - begin, n, y.stride},
                                {x.row(begin), x.stride, true},
                                {w.row(g * n), w.stride, true},
                                x.cols,
                                add};
    });
}

/// dx_g (=|+=) dy_g · w_g for every group g of rows [offsets[g], offsets[g + 1]).
///
/// Shapes:    dx [rows, K]; dy [rows, N]; w [groups · N, K]; offsets [groups + 1]
template <class Engine = Tiles, class T, class A, class B>
void grouped_gemm_nn(Pool& pool, Strided<T> dx, Strided<A const> dy, Strided<B const> w,
                     std::int32_t const* offsets, index_t groups, bool add) {
    auto const n = dy.cols;
    detail::run_groups<Engine, T>(pool, groups, [&](index_t g) {
        index_t const begin = offsets[g];
        return Product<T, A, B>{{dx.row(begin), offsets[g + 1] - begin, dx.cols, dx.stride},
                                {dy.row(begin), dy.stride, true},
                                {w.row(g * n), w.stride, false},
                                n,
                                add};
    });
}

/// dw_g (=|+=) dy_gᵀ · x_g for every group g of rows [offsets[g], offsets[g + 1]). A group without rows becomes zero,
/// or stays as it is if adding.
///
/// Shapes:    dw [groups · N, K]; dy [rows, N]; x [rows, K]; offsets [groups + 1]
template <class Engine = Tiles, class T, class A, class B>
void grouped_gemm_tn(Pool& pool, Strided<T> dw, Strided<A const> dy, Strided<B const> x,
                     std::int32_t const* offsets, index_t groups, bool add) {
    auto const n = dy.cols;
    detail::run_groups<Engine, T>(pool, groups, [&](index_t g) {
        index_t const begin = offsets[g];
        return Product<T, A, B>{{dw.row(g * n), n, dw.cols, dw.stride},
                                {dy.row(begin), dy.stride, false},
                                {x.row(begin), x.stride, false},
                                offsets[g + 1] - begin,
                                add};
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
