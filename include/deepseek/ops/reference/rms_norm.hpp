// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_RMS_NORM_HPP
#define DEEPSEEK_OPS_REFERENCE_RMS_NORM_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cmath>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call is one row.
template <class T, class W>
struct RmsNorm {
    using Sum = accumulate_t<T>;

    Strided<T> y;
    Strided<T const> x;
    W const* gain;
    Strided<Sum> inverse_rms;
    Sum epsilon;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const* const in = x.row(row);
        Sum squares = 0;
        for (index_t c = 0; c < x.cols; ++c) {
            squares += convert<Sum>(in[c]) * convert<Sum>(in[c]);
        }
        auto const inverse = 1 / std::sqrt(squares / static_cast<Sum>(x.cols) + epsilon);
        inverse_rms.row(row)[0] = inverse;
        for (index_t c = 0; c < x.cols; ++c) {
            y.row(row)[c] = convert<T>(convert<Sum>(in[c]) * inverse * convert<Sum>(gain[c]));
        }
    }
};

// Of the backward pass, with n = x · inverse and u = dy · gain: dgain = sum of dy · n, dx = inverse · (u - n · mean(u · n)).

/// One call is one column.
template <class T, class G>
struct RmsNormGain {
    using Sum = accumulate_t<T>;

    G* dgain;
    Strided<T const> dy;
    Strided<T const> x;
    Strided<Sum const> inverse_rms;

    DEEPSEEK_HD void operator()(index_t c) const {
        Sum sum = 0;
        for (index_t row = 0; row < x.rows; ++row) {
            sum += convert<Sum>(dy.row(row)[c]) * convert<Sum>(x.row(row)[c]) * inverse_rms.row(row)[0];
        }
        dgain[c] = convert<G>(convert<Sum>(dgain[c]) + sum);
    }
};

/// One call is one row.
template <class T, class W>
struct RmsNormInput {
    using Sum = accumulate_t<T>;

    Strided<T> dx;
    Strided<T const> dy;
    Strided<T const> x;
    W const* gain;
    Strided<Sum const> inverse_rms;
    bool add;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const to = dx.row(row);
        auto const* const d = dy.row(row);
        auto const* const in = x.row(row);
        auto const inverse = inverse_rms.row(row)[0];
        Sum along = 0;
        for (index_t c = 0; c < x.cols; ++c) {
            along += convert<Sum>(d[c]) * convert<Sum>(gain[c]) * convert<Sum>(in[c]) * inverse;
        }
        auto const mean = along / static_cast<Sum>(x.cols);
        for (index_t c = 0; c < x.cols; ++c) {
            auto const normed = convert<Sum>(in[c]) * inverse;
            auto const value = inverse * (convert<Sum>(d[c]) * convert<Sum>(gain[c]) - normed * mean);
            to[c] = convert<T>(add ? convert<Sum>(to[c]) + value : value);
        }
    }
};

}  // namespace loop

template <class B, class T, class W>
void reference(RmsNorm, B& be, Strided<T> y, Strided<T const> x, W const* gain,
               Strided<accumulate_t<T>> inverse_rms, double epsilon) {
    be.for_each(y.rows, 2 * y.cols,
                loop::RmsNorm<T, W>{y, x, gain, inverse_rms, static_cast<accumulate_t<T>>(epsilon)});
}

template <class B, class T, class G, class W>
void reference(RmsNormBackward, B& be, Strided<T> dx, G* dgain, Strided<T const> dy, Strided<T const> x,
               W const* gain, Strided<accumulate_t<T> const> inverse_rms, bool add) {
    be.for_each(x.cols, 2 * x.rows,
                loop::RmsNormGain<T, G>{dgain, dy, x, inverse_rms});  // first: dx may be dy
    be.for_each(x.rows, 4 * x.cols, loop::RmsNormInput<T, W>{dx, dy, x, gain, inverse_rms, add});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
