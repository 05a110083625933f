// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_BIAS_HPP
#define DEEPSEEK_OPS_REFERENCE_BIAS_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call is one row.
template <class T, class W>
struct AddBias {
    using Sum = accumulate_t<T>;

    Strided<T> y;
    W const* bias;

    DEEPSEEK_HD void operator()(index_t row) const {
        for (index_t c = 0; c < y.cols; ++c) {
            y.row(row)[c] = convert<T>(convert<Sum>(y.row(row)[c]) + convert<Sum>(bias[c]));
        }
    }
};

/// One call is one column.
template <class G, class T>
struct BiasBackward {
    using Sum = accumulate_t<G>;

    G* dbias;
    Strided<T const> dy;

    DEEPSEEK_HD void operator()(index_t c) const {
        auto sum = convert<Sum>(dbias[c]);
        for (index_t row = 0; row < dy.rows; ++row) {
            sum += convert<Sum>(dy.row(row)[c]);
        }
        dbias[c] = convert<G>(sum);
    }
};

}  // namespace loop

template <class B, class T, class W>
void reference(AddBias, B& be, Strided<T> y, W const* bias) {
    be.for_each(y.rows, y.cols, loop::AddBias<T, W>{y, bias});
}

template <class B, class G, class T>
void reference(BiasBackward, B& be, G* dbias, Strided<T const> dy) {
    be.for_each(dy.cols, dy.rows, loop::BiasBackward<G, T>{dbias, dy});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
