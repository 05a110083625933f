// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ELEMENTWISE_HPP
#define DEEPSEEK_OPS_ELEMENTWISE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/generic/elementwise.hpp>

#include <type_traits>
#include <utility>

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
/// Errors:    ShapeError if the row counts differ
template <class B, class T, class F, class... X, index_t C>
void transform(B& be, Rows<T, C> out, F f, Rows<X, C>... in) {
    (expects<ShapeError>(in.rows == out.rows, "transform: out has ", out.rows, " rows, an input has ",
                         in.rows),
     ...);
    if (out.rows == 0) {
        return;
    }
    if constexpr (requires { transform_impl(be, out, f, in...); }) {
        transform_impl(be, out, f, in...);
    } else {
        using Body = generic::Transform<std::index_sequence_for<X...>, T, C, F, std::remove_const_t<X>...>;
        be.for_each(out.rows, C, Body{out, f, in...});
    }
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
    if constexpr (requires { add_impl(be, y, a, b); }) {
        add_impl(be, y, a, b);
    } else {
        be.for_each(y.rows, C, generic::Add<T, C>{y, a, b});
    }
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
    if constexpr (requires { accumulate_impl(be, y, x); }) {
        accumulate_impl(be, y, x);
    } else {
        be.for_each(y.rows, C, generic::Accumulate<T, C>{y, x});
    }
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
    if constexpr (requires { copy_impl(be, y, x); }) {
        copy_impl(be, y, x);
    } else {
        be.for_each(y.rows, C, generic::Copy<T, std::remove_const_t<X>, C>{y, x});
    }
}

/// Sets every element to `value`.
///
/// Shapes:    y [rows, C]
template <class B, class T, index_t C>
void fill(B& be, Rows<T, C> y, std::type_identity_t<T> value) {
    if (y.rows == 0) {
        return;
    }
    if constexpr (requires { fill_impl(be, y, value); }) {
        fill_impl(be, y, value);
    } else {
        be.for_each(y.rows, C, generic::Fill<T, C>{y, value});
    }
}

/// y *= factor.
///
/// Shapes:    y [rows, C]
template <class B, class T, index_t C>
void scale(B& be, Rows<T, C> y, std::type_identity_t<T> factor) {
    if (y.rows == 0) {
        return;
    }
    if constexpr (requires { scale_impl(be, y, factor); }) {
        scale_impl(be, y, factor);
    } else {
        be.for_each(y.rows, C, generic::Scale<T, C>{y, factor});
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
