// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_SWIGLU_HPP
#define DEEPSEEK_OPS_GENERIC_SWIGLU_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/math.hpp>

// One call of a body is one row.

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

template <class T, index_t C>
struct SwiGLU {
    Rows<T, C> act;
    Rows<T const, C> gate;
    Rows<T const, C> up;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const to = act.row(row);
        auto const* const u = gate.row(row);
        auto const* const v = up.row(row);
        for (index_t c = 0; c < C; ++c) {
            to[c] = u[c] * detail::sigmoid(u[c]) * v[c];
        }
    }
};

// With s = sigmoid(u): d silu(u) / du = s · (1 + u · (1 - s)).
//
// The gradients usually replace the inputs. A loop that reads and writes through pointers to the same memory is not
// vectorised by every compiler, so results wait in a buffer.
template <class T, index_t C, bool WithValue>
struct SwiGLUBackward {
    static constexpr index_t kStretch = 64;

    Rows<T, C> dgate;
    Rows<T, C> dup;
    Rows<T, C> act;  // written if WithValue
    Rows<T const, C> dact;
    Rows<T const, C> gate;
    Rows<T const, C> up;

    DEEPSEEK_HD void operator()(index_t row) const {
        constexpr auto kWhole = C / kStretch * kStretch;
        for (index_t begin = 0; begin < kWhole; begin += kStretch) {
            stretch<kStretch>(row, begin);
        }
        if constexpr (kWhole < C) {
            stretch<C - kWhole>(row, kWhole);
        }
    }

private:
    template <index_t Count>
    DEEPSEEK_HD void stretch(index_t row, index_t begin) const {
        auto const* const d = dact.row(row) + begin;
        auto const* const u = gate.row(row) + begin;
        auto const* const v = up.row(row) + begin;
        T of_gate[Count];
        T of_up[Count];
        T value[Count];
        for (index_t i = 0; i < Count; ++i) {
            auto const s = detail::sigmoid(u[i]);
            auto const silu = u[i] * s;
            of_gate[i] = d[i] * v[i] * (s * (1 + u[i] * (1 - s)));
            of_up[i] = d[i] * silu;
            if constexpr (WithValue) {
                value[i] = silu * v[i];
            }
        }
        auto* const du = dgate.row(row) + begin;
        auto* const dv = dup.row(row) + begin;
        for (index_t i = 0; i < Count; ++i) {
            du[i] = of_gate[i];
        }
        for (index_t i = 0; i < Count; ++i) {
            dv[i] = of_up[i];
        }
        if constexpr (WithValue) {
            auto* const to = act.row(row) + begin;
            for (index_t i = 0; i < Count; ++i) {
                to[i] = value[i];
            }
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
