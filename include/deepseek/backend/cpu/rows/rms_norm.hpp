// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_RMS_NORM_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_RMS_NORM_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

template <class T>
void rms_norm(T* y, T const* x, T const* gain, T* inverse_rms, index_t count, T epsilon) {
    Sum<T> sum;
    sweep<T>(
        count, T{0}, [&](auto const& v) { sum += v.square(); }, x);
    auto const inverse = 1 / std::sqrt(sum.total() / static_cast<T>(count) + epsilon);
    *inverse_rms = inverse;
    sweep<T>(
        count, T{0}, [=](auto to, auto const& v, auto const& g) { to = v * inverse * g; }, y, x, gain);
}

// With n = x · inverse and u = dy · gain: dx = inverse · (u - n · mean(u · n)), dgain = dy · n.
template <bool Adds, class T>
void rms_norm_backward(T* dx, T* dgain, T const* dy, T const* x, T const* gain, T inverse, index_t count) {
    Sum<T> along;
    sweep<T>(
        count, T{0}, [&](auto const& d, auto const& g, auto const& v) { along += d * g * v; }, dy, gain, x);
    auto const mean = along.total() * inverse / static_cast<T>(count);
    sweep<T>(
        count, T{0},
        [=](auto to, auto dg, auto const& d, auto const& g, auto const& v) {
            Values<T> const normed = v * inverse;
            Values<T> const gradient = d;  // in registers: dx may be dy
            dg += gradient * normed;
            Values<T> const value = inverse * (gradient * g - normed * mean);
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

// y += x
template <class T>
void accumulate(T* y, T const* x, index_t count) {
    sweep<T>(
        count, T{0}, [](auto to, auto const& v) { to += v; }, y, x);
}

}  // namespace cpu::rows

template <std::same_as<Cpu> B, std::floating_point T, class W, index_t C>
requires std::same_as<std::remove_const_t<W>, T>
void rms_norm_impl(B& be, Rows<T, C> y, Rows<T const, C> x, Matrix<W, C> gain, Rows<T, 1> inverse_rms,
                   double epsilon) {
    be.for_each(y.rows, 2 * C, [=](index_t row) {
        cpu::rows::rms_norm<T>(y.row(row), x.row(row), gain.data, inverse_rms.row(row), C,
                               static_cast<T>(epsilon));
    });
}

template <std::same_as<Cpu> B, std::floating_point T, class W, index_t C, class Write>
requires std::same_as<std::remove_const_t<W>, T>
void rms_norm_backward_impl(B& be, Rows<T, C> dx, Matrix<T, C> dgain, Rows<T const, C> dy, Rows<T const, C> x,
                            Matrix<W, C> gain, Rows<T const, 1> inverse_rms, Write write) {
    constexpr auto kBlock = cpu::rows::kRmsNormBlock;
    constexpr index_t kStrip = 4 * cpu::rows::kStretch<T>;
    auto const scope = be.scratch().scope();
    auto const partial = be.scratch().template rows<T, C>(ceil_div(dx.rows, kBlock));  // [blocks, C]
    be.for_each(partial.rows, 4 * C * kBlock, [=](index_t block) {
        auto* const of_gain = partial.row(block);
        std::fill_n(of_gain, C, T{0});
        for (auto row = block * kBlock; row < std::min((block + 1) * kBlock, dx.rows); ++row) {
            auto const one = write == Write::add ? &cpu::rows::rms_norm_backward<true, T>
                                                 : &cpu::rows::rms_norm_backward<false, T>;
            one(dx.row(row), of_gain, dy.row(row), x.row(row), gain.data, inverse_rms.row(row)[0], C);
        }
    });
    be.for_each(ceil_div(C, kStrip), partial.rows * kStrip, [=](index_t strip) {
        auto const begin = strip * kStrip;
        for (index_t block = 0; block < partial.rows; ++block) {  // in their order
            cpu::rows::accumulate<T>(dgain.data + begin, partial.row(block) + begin,
                                     std::min(kStrip, C - begin));
        }
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
