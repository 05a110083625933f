// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_BIAS_HPP
#define DEEPSEEK_OPS_BIAS_HPP

#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/bias.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// y[row] += bias.
///
/// Shapes:    y [rows, C]; bias [C]
template <class B, class T, class W, index_t C>
void add_bias(B& be, Rows<T, C> y, Matrix<W, C, 1> bias) {
    if (y.rows == 0) {
        return;
    }
    call<AddBias>(be, y.strided(), bias.cdata());
}

/// dbias += the sum of dy over its rows, in their order.
///
/// Shapes:    dbias [C]; dy [rows, C]
template <class B, class T, class Y, index_t C>
void bias_backward(B& be, Matrix<T, C, 1> dbias, Rows<Y, C> dy) {
    if (dy.rows == 0) {
        return;
    }
    call<BiasBackward>(be, dbias.data, Strided<std::remove_const_t<Y> const>(dy.strided()));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
