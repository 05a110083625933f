// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_ROPE_HPP
#define DEEPSEEK_OPS_GENERIC_ROPE_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/math.hpp>
#include <deepseek/ops/rotary_table.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

/// One call is one row: its angles are computed once and serve all heads.
template <class T, index_t C, index_t Dim, index_t Heads, index_t HeadStride, index_t Offset>
struct Rotate {
    static constexpr index_t kPairs = Dim / 2;

    Rows<T, C> x;
    RotaryTable<Dim> table;
    index_t length;
    index_t position;
    bool backward;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const where = static_cast<float>(position + row % length);
        auto const size = table.attention_factor;
        auto const sin_size = backward ? -size : size;
        T cos[kPairs];
        T sin[kPairs];
        for (index_t i = 0; i < kPairs; ++i) {
            // A product of floats, as everyone who trains these models computes it: see RotaryTable.
            auto const angle = where * table.inverse_frequency[i];
            auto const exact = detail::sin_cos(static_cast<double>(angle));
            cos[i] = static_cast<T>(exact.cos * size);
            sin[i] = static_cast<T>(exact.sin * sin_size);
        }
        auto* const first = x.row(row) + Offset;
        for (index_t head = 0; head < Heads; ++head) {
            auto* const v = first + head * HeadStride;
            if (table.interleaved) {
                for (index_t i = 0; i < kPairs; ++i) {
                    auto const a = v[2 * i];
                    auto const b = v[2 * i + 1];
                    v[2 * i] = a * cos[i] - b * sin[i];
                    v[2 * i + 1] = a * sin[i] + b * cos[i];
                }
            } else {
                for (index_t i = 0; i < kPairs; ++i) {
                    auto const a = v[i];
                    auto const b = v[i + kPairs];
                    v[i] = a * cos[i] - b * sin[i];
                    v[i + kPairs] = a * sin[i] + b * cos[i];
                }
            }
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
