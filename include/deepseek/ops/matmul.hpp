// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_MATMUL_HPP
#define DEEPSEEK_OPS_MATMUL_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/matmul.hpp>
#include <deepseek/ops/write.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// y = x · wᵀ: a linear layer.
///
/// Shapes:    y [rows, Out]; x [rows, In]; w [Out, In]
/// Precision: sums in accumulate_t of the activations; weights may be of a narrower type
/// Errors:    ShapeError if x and y differ in rows
template <class B, class T, class X, class W, index_t In, index_t Out>
void matmul_nt(B& be, Rows<T, Out> y, Rows<X, In> x, Matrix<W, Out, In> w, Write write = Write::overwrite) {
    static_assert(std::is_same_v<T, std::remove_const_t<X>>, "matmul_nt: x and y differ in type");
    expects<ShapeError>(y.rows == x.rows, "matmul_nt: y has ", y.rows, " rows, x has ", x.rows);
    if (y.rows > 0) {
        call<Matmul>(be, y.strided(), Strided<T const>(x.strided()), false,
                     Strided<std::remove_const_t<W> const>(w.strided()), true, write == Write::add);
    }
}

/// dx = dy · w: the gradient of a linear layer's input.
///
/// Shapes:    dx [rows, In]; dy [rows, Out]; w [Out, In]
/// Errors:    ShapeError if dx and dy differ in rows
template <class B, class T, class X, class W, index_t In, index_t Out>
void matmul_nn(B& be, Rows<T, In> dx, Rows<X, Out> dy, Matrix<W, Out, In> w, Write write = Write::overwrite) {
    static_assert(std::is_same_v<T, std::remove_const_t<X>>, "matmul_nn: dx and dy differ in type");
    expects<ShapeError>(dx.rows == dy.rows, "matmul_nn: dx has ", dx.rows, " rows, dy has ", dy.rows);
    if (dx.rows > 0) {
        call<Matmul>(be, dx.strided(), Strided<T const>(dy.strided()), false,
                     Strided<std::remove_const_t<W> const>(w.strided()), false, write == Write::add);
    }
}

/// dw += dyᵀ · x: the gradient of a linear layer's weight. Gradients accumulate; this always adds.
///
/// Shapes:    dw [Out, In]; dy [rows, Out]; x [rows, In]
/// Precision: sums in accumulate_t of the activations; dw may be of that type, too
/// Errors:    ShapeError if dy and x differ in rows
template <class B, class T, class Y, class X, index_t In, index_t Out>
void matmul_tn(B& be, Matrix<T, Out, In> dw, Rows<Y, Out> dy, Rows<X, In> x) {
    using A = std::remove_const_t<X>;
    static_assert(std::is_same_v<A, std::remove_const_t<Y>>, "matmul_tn: dy and x differ in type");
    static_assert(std::is_same_v<T, A> || std::is_same_v<T, accumulate_t<A>>,
                  "matmul_tn: dw is neither of the activations' type nor of that of their sums");
    expects<ShapeError>(dy.rows == x.rows, "matmul_tn: dy has ", dy.rows, " rows, x has ", x.rows);
    if (x.rows > 0) {
        call<Matmul>(be, dw.strided(), Strided<A const>(dy.strided()), true, Strided<A const>(x.strided()),
                     false, true);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
