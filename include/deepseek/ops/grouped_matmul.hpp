// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GROUPED_MATMUL_HPP
#define DEEPSEEK_OPS_GROUPED_MATMUL_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/grouped_matmul.hpp>
#include <deepseek/ops/write.hpp>

#include <cstdint>
#include <type_traits>

// Linear layers of many experts at once: the rows are sorted by expert, expert e owns rows
// [offsets[e], offsets[e + 1]) and slice e of a stack of weights.

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// y_e = x_e · w_eᵀ for every expert e.
///
/// Shapes:    y [rows, Out]; x [rows, In]; w [Experts * Out, In]; offsets [Experts + 1], last = rows
/// Errors:    ShapeError if x and y differ in rows
template <class B, class T, class X, class W, index_t Stack, index_t In, index_t Out>
void grouped_matmul_nt(B& be, Rows<T, Out> y, Rows<X, In> x, Matrix<W, Stack, In> w,
                       std::int32_t const* offsets) {
    static_assert(Stack % Out == 0, "grouped_matmul_nt: w is not a stack of [Out, In]");
    expects<ShapeError>(y.rows == x.rows, "grouped_matmul_nt: y has ", y.rows, " rows, x has ", x.rows);
    if (y.rows > 0) {
        call<GroupedMatmulNt>(be, y.strided(), Strided<T const>(x.strided()),
                              Strided<std::remove_const_t<W> const>(w.strided()), offsets, Stack / Out,
                              false);
    }
}

/// dx_e = dy_e · w_e for every expert e; adds to dx if asked.
///
/// Shapes:    dx [rows, In]; dy [rows, Out]; w [Experts * Out, In]; offsets [Experts + 1]
/// Errors:    ShapeError if dx and dy differ in rows
template <class B, class T, class X, class W, index_t Stack, index_t In, index_t Out>
void grouped_matmul_nn(B& be, Rows<T, In> dx, Rows<X, Out> dy, Matrix<W, Stack, In> w,
                       std::int32_t const* offsets, Write write = Write::overwrite) {
    static_assert(Stack % Out == 0, "grouped_matmul_nn: w is not a stack of [Out, In]");
    expects<ShapeError>(dx.rows == dy.rows, "grouped_matmul_nn: dx has ", dx.rows, " rows, dy has ", dy.rows);
    if (dx.rows > 0) {
        call<GroupedMatmulNn>(be, dx.strided(), Strided<T const>(dy.strided()),
                              Strided<std::remove_const_t<W> const>(w.strided()), offsets, Stack / Out,
                              write == Write::add);
    }
}

/// dw_e += dy_eᵀ · x_e for every expert e. Experts without rows keep their gradient.
///
/// Shapes:    dw [Experts * Out, In]; dy [rows, Out]; x [rows, In]; offsets [Experts + 1]
/// Errors:    ShapeError if dy and x differ in rows
template <class B, class T, class Y, class X, index_t Stack, index_t In, index_t Out>
void grouped_matmul_tn(B& be, Matrix<T, Stack, In> dw, Rows<Y, Out> dy, Rows<X, In> x,
                       std::int32_t const* offsets) {
    static_assert(Stack % Out == 0, "grouped_matmul_tn: dw is not a stack of [Out, In]");
    expects<ShapeError>(dy.rows == x.rows, "grouped_matmul_tn: dy has ", dy.rows, " rows, x has ", x.rows);
    if (x.rows > 0) {
        call<GroupedMatmulTn>(be, dw.strided(), Strided<std::remove_const_t<Y> const>(dy.strided()),
                              Strided<std::remove_const_t<X> const>(x.strided()), offsets, Stack / Out, true);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
