// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REDUCE_HPP
#define DEEPSEEK_OPS_REDUCE_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/generic/reduce.hpp>

#include <type_traits>

// Sums go to a double in the backend's memory and add to what is there, so that many of them cost one wait: the
// caller copies the total to the host when all are in. The same bits for any number of threads.

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// *total += value, known to the host.
///
/// Shapes:    total in the backend's memory
template <class B>
void add_value(B& be, double* total, double value) {
    be.for_each(1, 1, generic::AddValue{total, value});
}

/// *total += factor · the sum of x.
///
/// Shapes:    x [rows, 1]; total in the backend's memory
/// Precision: in double
template <class B, class X>
void add_sum(B& be, double* total, Rows<X, 1> x, double factor = 1) {
    using T = std::remove_const_t<X>;
    Rows<T const, 1> const in = x;
    if (in.rows == 0) {
        return;
    }
    if constexpr (requires { add_sum_impl(be, total, in, factor); }) {
        add_sum_impl(be, total, in, factor);
    } else {
        be.for_each(1, in.rows, generic::AddSum<T>{total, in, factor});
    }
}

/// *total += the sum of squares of `count` elements.
///
/// Precision: in double
/// Cost:      reads x once; scratch of one double per 8192 elements
template <class B, class T>
void sum_of_squares(B& be, double* total, T const* x, index_t count) {
    if (count == 0) {
        return;
    }
    if constexpr (requires { sum_of_squares_impl(be, total, x, count); }) {
        sum_of_squares_impl(be, total, x, count);
    } else {
        using Body = generic::SquaredBlock<T>;
        auto const scope = be.scratch().scope();
        auto const partial =
            be.scratch().template rows<double, 1>(ceil_div(count, Body::kBlock));  // [blocks]
        be.for_each(partial.rows, Body::kBlock, Body{partial.data, x, count});
        be.for_each(1, partial.rows, generic::AddSum<double>{total, partial, 1});
    }
}

/// The same of one tensor.
template <class B, class X, index_t R, index_t C>
void sum_of_squares(B& be, double* total, Matrix<X, R, C> x) {
    sum_of_squares(be, total, static_cast<std::remove_const_t<X> const*>(x.data), Matrix<X, R, C>::size);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
