// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_RMS_NORM_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_RMS_NORM_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

template <class T, class W, class S>
void rms_norm(T* y, T const* x, W const* gain, S* inverse_rms, index_t count, S epsilon) {
    Sum<S> sum;
    sweep(
        count, S{0}, [&](auto const& v) { sum += v.square(); }, x);
    auto const inverse = 1 / std::sqrt(sum.total() / static_cast<S>(count) + epsilon);
    *inverse_rms = inverse;
    sweep(
        count, S{0}, [=](auto to, auto const& v, auto const& g) { to = v * inverse * g; }, y, x, gain);
}

// With n = x · inverse and u = dy · gain: dx = inverse · (u - n · mean(u · n)), dgain = dy · n.
template <bool Adds, class T, class W, class S>
void rms_norm_backward(T* dx, S* dgain, T const* dy, T const* x, W const* gain, S inverse, index_t count) {
    Sum<S> along;
    sweep(
        count, S{0}, [&](auto const& d, auto const& g, auto const& v) { along += d * g * v; }, dy, gain, x);
    auto const mean = along.total() * inverse / static_cast<S>(count);
    sweep(
        count, S{0},
        [=](auto to, auto dg, auto const& d, auto const& g, auto const& v) {
            Values<S> const normed = v * inverse;
            Values<S> const gradient = d;  // in registers: dx may be dy
            dg += gradient * normed;
            Values<S> const value = inverse * (gradient * g - normed * mean);
            if constexpr (Adds) {
                to += value;
            } else {
                to = value;
            }
        },
        dx, dgain, dy, gain, x);
}

// Rows that one task of the backward pass does, whatever the number of threads: their sum of dgain is one.
inline constexpr index_t kRmsNormBlock = 32;

}  // namespace cpu::rows

template <std::same_as<Cpu> B, class T, class W>
void compute(ops::RmsNorm, B& be, Strided<T> y, Strided<T const> x, W const* gain,
             Strided<accumulate_t<T>> inverse_rms, double epsilon) {
    be.for_each(y.rows, 2 * y.cols, [=](index_t row) {
        cpu::rows::rms_norm(y.row(row), x.row(row), gain, inverse_rms.row(row), y.cols,
                            static_cast<accumulate_t<T>>(epsilon));
    });
}

template <std::same_as<Cpu> B, class T, class G, class W>
void compute(ops::RmsNormBackward, B& be, Strided<T> dx, G* dgain, Strided<T const> dy, Strided<T const> x,
             W const* gain, Strided<accumulate_t<T> const> inverse_rms, bool add) {
    using S = accumulate_t<T>;
    constexpr auto kBlock = cpu::rows::kRmsNormBlock;
    constexpr index_t kStrip = 4 * cpu::rows::kStretch<S>;
    auto const width = dx.cols;
    auto const blocks = ceil_div(dx.rows, kBlock);
    auto const scope = be.scratch().scope();
    auto* const partial = be.scratch().template take<S>(checked_mul(blocks, width));  // [blocks, width]
    be.for_each(blocks, 4 * width * kBlock, [=](index_t block) {
        auto* const of_gain = partial + block * width;
        std::fill_n(of_gain, width, S{0});
        auto const one = add ? &cpu::rows::rms_norm_backward<true, T, W, S>
                             : &cpu::rows::rms_norm_backward<false, T, W, S>;
        for (auto row = block * kBlock; row < std::min((block + 1) * kBlock, dx.rows); ++row) {
            one(dx.row(row), of_gain, dy.row(row), x.row(row), gain, inverse_rms.row(row)[0], width);
        }
    });
    be.for_each(ceil_div(width, kStrip), blocks * kStrip, [=](index_t strip) {
        auto const begin = strip * kStrip;
        for (index_t block = 0; block < blocks; ++block) {  // in their order
            cpu::rows::accumulate(dgain + begin, partial + block * width + begin,
                                  std::min(kStrip, width - begin));
        }
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
