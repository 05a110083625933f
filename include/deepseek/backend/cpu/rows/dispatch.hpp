// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_DISPATCH_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_DISPATCH_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

// y (=|+=) factor · x
template <class T, class S>
void add_scaled(S* y, T const* x, index_t count, S factor, bool add) {
    if (add) {
        sweep(
            count, S{0}, [=](auto to, auto const& v) { to += factor * v; }, y, x);
    } else {
        sweep(
            count, S{0}, [=](auto to, auto const& v) { to = factor * v; }, y, x);
    }
}

// (h · dh; h *= gate, dh *= gate)
template <class T, class S>
S scale_both(T* h, T* dh, index_t count, S gate) {
    Sum<S> dot;
    sweep(
        count, S{0},
        [&](auto u, auto v) {
            dot += u * v;
            u *= gate;
            v *= gate;
        },
        h, dh);
    return dot.total();
}

}  // namespace cpu::rows

// Strip by strip, so that the sum over a token's pairs is rounded once.
template <std::same_as<Cpu> B, class T, class G>
void compute(ops::CombinePairs, B& be, Strided<T> y, Strided<T const> x, Strided<G const> gates,
             std::int32_t const* row_of, bool add) {
    using S = accumulate_t<T>;
    constexpr index_t kStrip = 256;
    auto const top_k = gates.cols;
    be.for_each(y.rows, y.cols * top_k, [=](index_t token) {
        for (index_t begin = 0; begin < y.cols; begin += kStrip) {
            auto const width = std::min(kStrip, y.cols - begin);
            auto* const to = y.row(token) + begin;
            S sum[kStrip];
            for (index_t k = 0; k < top_k; ++k) {
                auto const gate = gates.data == nullptr ? S{1} : convert<S>(gates.row(token)[k]);
                auto const* const from = x.row(row_of[token * top_k + k]) + begin;
                cpu::rows::add_scaled(static_cast<S*>(sum), from, width, gate, k > 0);
            }
            cpu::rows::sweep(
                width, S{0},
                [=](auto v, auto const& s) {
                    if (add) {
                        v += s;
                    } else {
                        v = s;
                    }
                },
                to, static_cast<S const*>(sum));
        }
    });
}

template <std::same_as<Cpu> B, class D, class T, class G>
void compute(ops::GateBackward, B& be, Strided<D> dgates, Strided<T> hidden, Strided<T> dhidden,
             Strided<G const> gates, std::int32_t const* pair_at) {
    be.for_each(hidden.rows, 4 * hidden.cols, [=](index_t row) {
        auto const token = pair_at[row] / gates.cols;
        auto const choice = pair_at[row] % gates.cols;
        auto const gate = convert<accumulate_t<T>>(gates.row(token)[choice]);
        dgates.row(token)[choice] =
            convert<D>(cpu::rows::scale_both(hidden.row(row), dhidden.row(row), hidden.cols, gate));
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
