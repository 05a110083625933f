// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_GEMM_HPP
#define DEEPSEEK_BACKEND_CPU_GEMM_HPP

#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/backend/cpu/product.hpp>
#include <deepseek/backend/cpu/product_cut.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

namespace detail {

// All tiles of one product per group, as one set of tasks. product_of(g) is the product of group g; all have the same
// number of columns.
template <class ProductOf>
void multiply_groups(Pool& pool, index_t groups, ProductOf const& product_of) {
    auto const work = [&](index_t g) {
        auto const product = product_of(g);
        return product.c.rows * product.depth;
    };
    index_t total = 0;
    for (index_t g = 0; g < groups; ++g) {
        total += work(g);
    }
    index_t const threads = pool.threads();
    auto const cut_of = [&](index_t g) {  // threads in proportion to the work
        auto const parts = total > 0 ? ceil_div(threads * work(g), total) : 1;
        return cut(product_of(g), std::max<index_t>(parts, 1));
    };
    index_t tasks = 0;
    for (index_t g = 0; g < groups; ++g) {
        tasks += cut_of(g).tiles();
    }
    pool.run(tasks, [&](index_t task, int worker) {
        for (index_t g = 0;; ++g) {
            auto const tiles = cut_of(g);
            if (task < tiles.tiles()) {
                return multiply_tile(product_of(g), tiles, task, pool.workspace(worker));
            }
            task -= tiles.tiles();
        }
    });
}

}  // namespace detail

/// c (=|+=) op(a) · op(b), where op transposes if told so.
///
/// Shapes:    c [m, n]; op(a) [m, k]; op(b) [k, n]; rows at any stride
/// Precision: sums in T, in an order that depends on the extents only: the same bits for any number of threads
/// Cost:      no allocation once every worker has had a tile: the smallest Workspace has room for any
template <class T, class A, class B>
void gemm(Pool& pool, Strided<T> c, Strided<A const> a, bool transpose_a, Strided<B const> b,
          bool transpose_b, bool add) {
    auto const depth = transpose_a ? a.rows : a.cols;
    DEEPSEEK_ASSERT((transpose_a ? a.cols : a.rows) == c.rows);
    DEEPSEEK_ASSERT((transpose_b ? b.rows : b.cols) == c.cols);
    DEEPSEEK_ASSERT((transpose_b ? b.cols : b.rows) == depth);
    detail::multiply_groups(pool, 1, [&](index_t) {
        return Product<T, A, B>{
            c, {a.data, a.stride, !transpose_a}, {b.data, b.stride, transpose_b}, depth, add};
    });
}

/// y_g (=|+=) x_g · w_gᵀ for every group g of rows [offsets[g], offsets[g + 1]).
///
/// Shapes:    y [rows, N]; x [rows, K]; w [groups · N, K]; offsets [groups + 1]
template <class T, class A, class B>
void grouped_gemm_nt(Pool& pool, Strided<T> y, Strided<A const> x, Strided<B const> w,
                     std::int32_t const* offsets, index_t groups, bool add) {
    auto const n = y.cols;
    detail::multiply_groups(pool, groups, [&](index_t g) {
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
template <class T, class A, class B>
void grouped_gemm_nn(Pool& pool, Strided<T> dx, Strided<A const> dy, Strided<B const> w,
                     std::int32_t const* offsets, index_t groups, bool add) {
    auto const n = dy.cols;
    detail::multiply_groups(pool, groups, [&](index_t g) {
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
template <class T, class A, class B>
void grouped_gemm_tn(Pool& pool, Strided<T> dw, Strided<A const> dy, Strided<B const> x,
                     std::int32_t const* offsets, index_t groups, bool add) {
    auto const n = dy.cols;
    detail::multiply_groups(pool, groups, [&](index_t g) {
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
