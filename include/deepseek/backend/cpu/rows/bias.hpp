// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_BIAS_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_BIAS_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <concepts>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

// to[0 .. count) += the sum over all rows, in their order; no more than a stretch, so that it stays in registers.
template <class G, class T, class S = accumulate_t<G>>
void add_columns(G* to, T const* row, index_t stride, index_t rows, index_t count) {
    Values<S> sum;
    for (index_t c = 0; c < count; ++c) {
        sum[c] = convert<S>(to[c]);
    }
    for (index_t r = 0; r < rows; ++r) {
        if (count == kStretch<S>) {
            sweep(
                kStretch<S>, S{0}, [&](auto const& v) { sum += v; }, row + r * stride);
        } else {
            for (index_t c = 0; c < count; ++c) {
                sum[c] += convert<S>(row[r * stride + c]);
            }
        }
    }
    for (index_t c = 0; c < count; ++c) {
        to[c] = convert<G>(sum[c]);
    }
}

}  // namespace cpu::rows

template <std::same_as<Cpu> B, class G, class T>
void compute(ops::BiasBackward, B& be, G* dbias, Strided<T const> dy) {
    constexpr index_t kStrip = cpu::rows::kStretch<accumulate_t<G>>;
    be.for_each(ceil_div(dy.cols, kStrip), dy.rows * kStrip, [=](index_t strip) {
        auto const begin = strip * kStrip;
        cpu::rows::add_columns(dbias + begin, dy.data + begin, dy.stride, dy.rows,
                               std::min(kStrip, dy.cols - begin));
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
