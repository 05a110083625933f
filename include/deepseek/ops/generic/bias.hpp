// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_BIAS_HPP
#define DEEPSEEK_OPS_GENERIC_BIAS_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/view.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

template <class T, class W, index_t C>
struct AddBias {
    Rows<T, C> y;
    Matrix<W, C, 1> bias;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const out = y.row(row);
        for (index_t c = 0; c < C; ++c) {
            out[c] += convert<T>(bias.data[c]);
        }
    }
};

// Sums a strip of columns over all rows, so that the order of a sum never depends on who computes it.
template <class T, index_t C>
struct BiasBackward {
    static constexpr index_t kStrip = 64;

    Matrix<T, C, 1> dbias;
    Rows<T const, C> dy;

    DEEPSEEK_HD void operator()(index_t strip) const {
        auto const begin = strip * kStrip;
        auto const end = begin + kStrip < C ? begin + kStrip : C;
        for (index_t row = 0; row < dy.rows; ++row) {
            for (index_t c = begin; c < end; ++c) {
                dbias.data[c] += dy.row(row)[c];
            }
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
