// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_GEMM_HPP
#define DEEPSEEK_BACKEND_CPU_GEMM_HPP

#include <deepseek/backend/cpu/gemm_few.hpp>
#include <deepseek/backend/cpu/gemm_operand.hpp>
#include <deepseek/backend/cpu/gemm_tile.hpp>
#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

/// The ways of multiplying that a product is built from; the other choice is EigenKernels.
struct VectorKernels {
    /// The widest tile of c that is worth computing at once.
    template <class T>
    static constexpr index_t kTileCols = cpu::kTileCols<T>;

    template <class T, class A, class B>
    static bool has_few_rows(Product<T, A, B> const& product) {
        return cpu::has_few_rows(product);
    }
    template <class T, class A, class B>
    static void multiply_few(Product<T, A, B> const& product) {
        cpu::multiply_few(product);
    }
    template <class T, class A, class B>
    static void multiply(Product<T, A, B> const& product, Workspace& workspace) {
        multiply_packed(product, workspace);
    }
};
using Kernels = VectorKernels;

namespace detail {

// How c is cut into tiles, each a task. Any cut gives the same bits, because the sum of one element does not depend
// on its tile.
struct Cut {
    bool few = false;
    index_t rows = 0;  // of a tile
    index_t cols = 0;
    index_t down = 0;  // tiles
    index_t across = 0;

    index_t tiles() const { return down * across; }
};

// `parts` is how many tasks would occupy all threads evenly.
template <class K, class T, class A, class B>
Cut cut(Product<T, A, B> const& product, index_t parts) {
    auto const [rows, cols] = std::pair{product.c.rows, product.c.cols};
    auto const depth = product.depth;
    if (rows <= 0 || cols <= 0 || (depth <= 0 && product.add)) {
        return {};
    }
    // Twice as many tasks as threads, so that one that starts late or is interrupted does not hold up the rest; but
    // none so small that handing it out (1 µs) shows.
    auto const at_most = [parts](index_t tasks) {
        return parts == 1 ? 1 : std::clamp<index_t>(tasks, 1, 2 * parts);
    };
    if (K::has_few_rows(product)) {
        constexpr index_t kSmallest = index_t{1} << 16;  // weights: 10 µs from memory
        auto const wide = round_up(ceil_div(cols, at_most(cols * depth / kSmallest)), 12);
        return {true, rows, wide, 1, ceil_div(cols, wide)};
    }
    // Packing costs a tile (rows + cols) · depth, multiplying rows · cols · depth: tiles as large and square as can be.
    constexpr index_t kSmallest = index_t{1} << 19;  // multiply-adds: 10 µs
    constexpr index_t kSmallestSide = 64;
    constexpr index_t kLargeSide = 384;  // to split a side of this length slows its tiles down by 2 %
    constexpr auto kWidest = K::template kTileCols<T>;
    auto const wanted = at_most(rows * cols * depth / kSmallest);
    Cut result{false, rows, std::min(cols, kWidest), 1, ceil_div(cols, kWidest)};
    for (;;) {
        auto const side = std::max(result.rows, result.cols);
        if (result.tiles() >= (side > kLargeSide ? wanted : std::min(wanted, parts)) ||
            side <= kSmallestSide) {
            break;
        }
        (result.rows >= result.cols ? result.down : result.across) *= 2;
        result.rows = ceil_div(rows, result.down);
        result.cols = ceil_div(cols, result.across);
    }
    result.rows = round_up(ceil_div(rows, result.down), MicroTile<T>::kRows);
    result.cols = round_up(ceil_div(cols, result.across), kLanes<T>);
    result.down = ceil_div(rows, result.rows);
    result.across = ceil_div(cols, result.cols);
    return result;
}

template <class K, class T, class A, class B>
void multiply_tile(Product<T, A, B> const& product, Cut const& cut, index_t tile, Workspace& workspace) {
    auto const row = tile % cut.down * cut.rows;
    auto const col = tile / cut.down * cut.cols;
    auto const part = product.tile(row, std::min(cut.rows, product.c.rows - row), col,
                                   std::min(cut.cols, product.c.cols - col));
    if (cut.few) {
        K::multiply_few(part);
    } else {
        K::multiply(part, workspace);
    }
}

// All tiles of one product per group, as one set of tasks. product_of(g) is the product of group g.
template <class K, class ProductOf>
void multiply_groups(Pool& pool, index_t groups, ProductOf const& product_of) {
    auto const size = [](auto const& product) {
        return product.c.rows * product.depth;
    };  // all have the same cols
    index_t total = 0;
    for (index_t g = 0; g < groups; ++g) {
        total += size(product_of(g));
    }
    auto const cut_of = [&](auto const& product) {  // a share of the tasks in proportion to the work
        auto const parts = ceil_div(pool.threads() * size(product), std::max<index_t>(total, 1));
        return cut<K>(product, pool.threads() == 1 ? 1 : std::max<index_t>(parts, 1));
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
                multiply_tile<K>(product, cut, task, pool.workspace(worker));
                return;
            }
            task -= cut.tiles();
        }
    });
}

}  // namespace detail

/// c (=|+=) op(a) · op(b), where op transposes if told so.
///
/// Shapes:    c [m, n]; op(a) [m, k]; op(b) [k, n]; rows at any stride
/// Precision: sums in T, in an order that depends on the extents only: the same bits for any number of threads
/// Cost:      no allocation once a product of this size has run on every worker
template <class K = Kernels, class T, class A, class B>
void gemm(Pool& pool, Strided<T> c, Strided<A const> a, bool transpose_a, Strided<B const> b,
          bool transpose_b, bool add) {
    auto const depth = transpose_a ? a.rows : a.cols;
    DEEPSEEK_ASSERT((transpose_a ? a.cols : a.rows) == c.rows);
    DEEPSEEK_ASSERT((transpose_b ? b.rows : b.cols) == c.cols);
    DEEPSEEK_ASSERT((transpose_b ? b.cols : b.rows) == depth);
    detail::multiply_groups<K>(pool, 1, [&](index_t) {
        return Product<T, A, B>{
            c, {a.data, a.stride, !transpose_a}, {b.data, b.stride, transpose_b}, depth, add};
    });
}

/// y_g (=|+=) x_g · w_gᵀ for every group g of rows [offsets[g], offsets[g + 1]).
///
/// Shapes:    y [rows, N]; x [rows, K]; w [groups · N, K]; offsets [groups + 1]
template <class K = Kernels, class T, class A, class B>
void grouped_gemm_nt(Pool& pool, Strided<T> y, Strided<A const> x, Strided<B const> w,
                     std::int32_t const* offsets, index_t groups, bool add) {
    auto const n = y.cols;
    detail::multiply_groups<K>(pool, groups, [&](index_t g) {
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
template <class K = Kernels, class T, class A, class B>
void grouped_gemm_nn(Pool& pool, Strided<T> dx, Strided<A const> dy, Strided<B const> w,
                     std::int32_t const* offsets, index_t groups, bool add) {
    auto const n = dy.cols;
    detail::multiply_groups<K>(pool, groups, [&](index_t g) {
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
template <class K = Kernels, class T, class A, class B>
void grouped_gemm_tn(Pool& pool, Strided<T> dw, Strided<A const> dy, Strided<B const> x,
                     std::int32_t const* offsets, index_t groups, bool add) {
    auto const n = dy.cols;
    detail::multiply_groups<K>(pool, groups, [&](index_t g) {
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
