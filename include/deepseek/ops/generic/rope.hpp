// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_ROPE_HPP
#define DEEPSEEK_OPS_GENERIC_ROPE_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/math.hpp>
#include <deepseek/ops/rotary_table.hpp>

#include <cstdint>

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
    std::int32_t const* starts;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const start = starts == nullptr ? 0 : index_t{starts[row]};
        auto const where = static_cast<float>(position + row % length - start);
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
                turn<2, 1>(v, cos, sin);
            } else {
                turn<1, kPairs>(v, cos, sin);
            }
        }
    }

private:
    // Turns the pairs (v[Step * i], v[Step * i + Gap]). They are taken out in a loop of their own, because compilers
    // find the shuffles for that, and not for a loop that also computes and writes.
    template <index_t Step, index_t Gap>
    static DEEPSEEK_HD void turn(T* v, T const* cos, T const* sin) {
        T a[kPairs];
        T b[kPairs];
        for (index_t i = 0; i < kPairs; ++i) {
            a[i] = v[Step * i];
            b[i] = v[Step * i + Gap];
        }
        for (index_t i = 0; i < kPairs; ++i) {
            v[Step * i] = a[i] * cos[i] - b[i] * sin[i];
            v[Step * i + Gap] = a[i] * sin[i] + b[i] * cos[i];
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
