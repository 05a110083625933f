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

// A strip of columns per task, all rows in their order; the sums are rounded once.
template <std::same_as<Cpu> B, class G, class T>
void compute(ops::BiasBackward, B& be, G* dbias, Strided<T const> dy) {
    using S = accumulate_t<G>;
    constexpr index_t kStrip = 64;
    be.for_each(ceil_div(dy.cols, kStrip), dy.rows * kStrip, [=](index_t strip) {
        auto const begin = strip * kStrip;
        auto const width = std::min(kStrip, dy.cols - begin);
        S sum[kStrip];
        for (index_t c = 0; c < width; ++c) {
            sum[c] = convert<S>(dbias[begin + c]);
        }
        for (index_t row = 0; row < dy.rows; ++row) {
            cpu::rows::accumulate(sum, dy.row(row) + begin, width);
        }
        for (index_t c = 0; c < width; ++c) {
            dbias[begin + c] = convert<G>(sum[c]);
        }
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
