// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_SWIGLU_HPP
#define DEEPSEEK_OPS_REFERENCE_SWIGLU_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cmath>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call is one row.
template <class T>
struct SwiGLU {
    using Sum = accumulate_t<T>;

    Strided<T> act;
    Strided<T const> gate;
    Strided<T const> up;

    DEEPSEEK_HD void operator()(index_t row) const {
        for (index_t c = 0; c < act.cols; ++c) {
            auto const u = convert<Sum>(gate.row(row)[c]);
            act.row(row)[c] = convert<T>(u / (1 + std::exp(-u)) * convert<Sum>(up.row(row)[c]));
        }
    }
};

/// One call is one row. With s = sigmoid(u): d silu(u) / du = s · (1 + u · (1 - s)).
template <class T>
struct SwiGLUBackward {
    using Sum = accumulate_t<T>;

    Strided<T> dgate;
    Strided<T> dup;
    Strided<T> act;  ///< written where it has data
    Strided<T const> dact;
    Strided<T const> gate;
    Strided<T const> up;

    DEEPSEEK_HD void operator()(index_t row) const {
        for (index_t c = 0; c < dgate.cols; ++c) {  // outputs may be the memory of inputs: all is read first
            auto const d = convert<Sum>(dact.row(row)[c]);
            auto const u = convert<Sum>(gate.row(row)[c]);
            auto const v = convert<Sum>(up.row(row)[c]);
            auto const s = 1 / (1 + std::exp(-u));
            dgate.row(row)[c] = convert<T>(d * v * (s * (1 + u * (1 - s))));
            dup.row(row)[c] = convert<T>(d * u * s);
            if (act.data != nullptr) {
                act.row(row)[c] = convert<T>(u * s * v);
            }
        }
    }
};

}  // namespace loop

template <class B, class T>
void reference(SwiGLU, B& be, Strided<T> act, Strided<T const> gate, Strided<T const> up) {
    be.for_each(act.rows, 4 * act.cols, loop::SwiGLU<T>{act, gate, up});
}

template <class B, class T>
void reference(SwiGLUBackward, B& be, Strided<T> dgate, Strided<T> dup, Strided<T> act, Strided<T const> dact,
               Strided<T const> gate, Strided<T const> up) {
    be.for_each(dgate.rows, 6 * dgate.cols, loop::SwiGLUBackward<T>{dgate, dup, act, dact, gate, up});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
