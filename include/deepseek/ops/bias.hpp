// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_BIAS_HPP
#define DEEPSEEK_OPS_BIAS_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/generic/bias.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// y[row] += bias.
///
/// Shapes:    y [rows, C]; bias [C]
template <class B, class T, class W, index_t C>
void add_bias(B& be, Rows<T, C> y, Matrix<W, C, 1> bias) {
    if constexpr (requires { add_bias_impl(be, y, bias); }) {
        add_bias_impl(be, y, bias);
    } else {
        be.for_each(y.rows, C, generic::AddBias<T, W const, C>{y, bias});
    }
}

/// dbias += the sum of dy over its rows, in their order.
///
/// Shapes:    dbias [C]; dy [rows, C]
template <class B, class T, class Y, index_t C>
void bias_backward(B& be, Matrix<T, C, 1> dbias, Rows<Y, C> dy) {
    if constexpr (requires { bias_backward_impl(be, dbias, dy); }) {
        bias_backward_impl(be, dbias, dy);
    } else {
        using Body = generic::BiasBackward<T, C>;
        be.for_each(ceil_div(C, Body::kStrip), dy.rows * Body::kStrip, Body{dbias, dy});
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
