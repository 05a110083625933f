// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_EMBEDDING_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_EMBEDDING_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <concepts>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

// A strip of columns per task, all rows in their order.
template <std::same_as<Cpu> B, class G, class T>
void compute(ops::EmbedBackward, B& be, Strided<G> dtable, Strided<T const> dy, Token const* tokens) {
    constexpr index_t kStrip = 128;
    be.for_each(ceil_div(dy.cols, kStrip), dy.rows * kStrip, [=](index_t strip) {
        auto const begin = strip * kStrip;
        auto const width = std::min(kStrip, dy.cols - begin);
        for (index_t row = 0; row < dy.rows; ++row) {
            auto const token = index_t{tokens[row]};
            DEEPSEEK_ASSERT(token >= 0 && token < dtable.rows);
            cpu::rows::accumulate(dtable.row(token) + begin, dy.row(row) + begin, width);
        }
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
