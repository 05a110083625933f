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
template <class T, index_t C>
struct SwiGLUBackward {
    Rows<T, C> dgate;
    Rows<T, C> dup;
    Rows<T const, C> dact;
    Rows<T const, C> gate;
    Rows<T const, C> up;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const du = dgate.row(row);
        auto* const dv = dup.row(row);
        auto const* const d = dact.row(row);
        auto const* const u = gate.row(row);
        auto const* const v = up.row(row);
        for (index_t c = 0; c < C; ++c) {
            auto const x = u[c];
            auto const s = detail::sigmoid(x);
            auto const gradient = d[c];
            auto const other = v[c];
            du[c] = gradient * other * (s * (1 + x * (1 - s)));
            dv[c] = gradient * (x * s);
        }
    }
};

template <class T, index_t C>
struct SwiGLUBackwardWithValue {
    Rows<T, C> dgate;
    Rows<T, C> dup;
    Rows<T, C> act;
    Rows<T const, C> dact;
    Rows<T const, C> gate;
    Rows<T const, C> up;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const du = dgate.row(row);
        auto* const dv = dup.row(row);
        auto* const to = act.row(row);
        auto const* const d = dact.row(row);
        auto const* const u = gate.row(row);
        auto const* const v = up.row(row);
        for (index_t c = 0; c < C; ++c) {
            auto const x = u[c];
            auto const s = detail::sigmoid(x);
            auto const gradient = d[c];
            auto const other = v[c];
            to[c] = x * s * other;
            du[c] = gradient * other * (s * (1 + x * (1 - s)));
            dv[c] = gradient * (x * s);
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
