// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ELEMENTWISE_HPP
#define DEEPSEEK_OPS_ELEMENTWISE_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/elementwise.hpp>

#include <type_traits>

// Operations on each element by itself. An output may be the same memory as an input, never a shifted part of it.

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// A parameter or its gradient as rows, for the operations below.
template <class T, index_t R, index_t C>
constexpr Rows<T, C> as_rows(Matrix<T, R, C> matrix) {
    return {matrix.data, R, C};
}

/// out = f(in...), element by element. F is copied to where the backend computes: a small struct with a const
/// operator() (DEEPSEEK_HD where it is to run on a GPU).
///
/// Shapes:    out, in... [rows, C]
/// Precision: f is given every element in accumulate_t of its type: float for bf16
/// Errors:    ShapeError if the row counts differ
template <class B, class T, class F, class... X, index_t C>
void transform(B& be, Rows<T, C> out, F f, Rows<X, C>... in) {
    (expects<ShapeError>(in.rows == out.rows, "transform: out has ", out.rows, " rows, an input has ",
                         in.rows),
     ...);
    if (out.rows == 0) {
        return;
    }
    call<Transform>(be, out.strided(), f, Strided<std::remove_const_t<X> const>(in.strided())...);
}

/// y = a + b.
///
/// Shapes:    y, a, b [rows, C]
/// Errors:    ShapeError if the row counts differ
template <class B, class T, index_t C>
void add(B& be, Rows<T, C> y, std::type_identity_t<Rows<T const, C>> a,
         std::type_identity_t<Rows<T const, C>> b) {
    expects<ShapeError>(y.rows == a.rows && y.rows == b.rows, "add: y has ", y.rows, " rows, the summands ",
                        a.rows, " and ", b.rows);
    if (y.rows == 0) {
        return;
    }
    call<Add>(be, y.strided(), a.strided(), b.strided());
}

/// y += x.
///
/// Shapes:    y, x [rows, C]
/// Errors:    ShapeError if the row counts differ
template <class B, class T, index_t C>
void accumulate(B& be, Rows<T, C> y, std::type_identity_t<Rows<T const, C>> x) {
    expects<ShapeError>(y.rows == x.rows, "accumulate: y has ", y.rows, " rows, x has ", x.rows);
    if (y.rows == 0) {
        return;
    }
    call<Accumulate>(be, y.strided(), x.strided());
}

/// y = x, rounded to y's type where that is narrower.
///
/// Shapes:    y, x [rows, C]
/// Errors:    ShapeError if the row counts differ
template <class B, class T, class X, index_t C>
void copy(B& be, Rows<T, C> y, Rows<X, C> x) {
    expects<ShapeError>(y.rows == x.rows, "copy: y has ", y.rows, " rows, x has ", x.rows);
    if (y.rows == 0) {
        return;
    }
    call<Copy>(be, y.strided(), Strided<std::remove_const_t<X> const>(x.strided()));
}

/// Sets every element to `value`, rounded to y's type where that is narrower.
///
/// Shapes:    y [rows, C]
template <class B, class T, index_t C>
void fill(B& be, Rows<T, C> y, accumulate_t<T> value) {
    if (y.rows == 0) {
        return;
    }
    call<Fill>(be, y.strided(), convert<T>(value));
}

/// y *= factor.
///
/// Shapes:    y [rows, C]
template <class B, class T, index_t C>
void scale(B& be, Rows<T, C> y, accumulate_t<T> factor) {
    if (y.rows == 0) {
        return;
    }
    call<Scale>(be, y.strided(), factor);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
