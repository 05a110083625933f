// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_SWIGLU_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_SWIGLU_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <concepts>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

template <class T, class S = accumulate_t<T>>
void swiglu(T* act, T const* gate, T const* up, index_t count) {
    sweep(
        count, S{0}, [](auto to, auto const& u, auto const& v) { to = u * v / (S{1} + (-u).exp()); }, act,
        gate, up);
}

// With s = sigmoid(u): d silu(u) / du = s + silu · (1 - s). `value` is for act, if it is asked for.
template <class S>
[[gnu::always_inline]] inline void swiglu_gradient(Stretch<S> dgate, Stretch<S> dup, Stretch<S const> dact,
                                                   Stretch<S const> gate, Stretch<S const> up,
                                                   auto const& value) {
    Values<S> const d = dact;  // in registers: outputs may be the memory of inputs
    Values<S> const u = gate;
    Values<S> const v = up;
    Values<S> const s = (S{1} + (-u).exp()).inverse();
    Values<S> const silu = u * s;
    dgate = d * v * (s + silu * (S{1} - s));
    dup = d * silu;
    value(silu, v);
}

template <class T, class S = accumulate_t<T>>
void swiglu_backward(T* dgate, T* dup, T* act, T const* dact, T const* gate, T const* up, index_t count) {
    if (act == nullptr) {
        sweep(
            count, S{0},
            [](auto du, auto dv, auto const& d, auto const& u, auto const& v) {
                swiglu_gradient<S>(du, dv, d, u, v, [](auto const&, auto const&) {});
            },
            dgate, dup, dact, gate, up);
        return;
    }
    sweep(
        count, S{0},
        [](auto du, auto dv, auto to, auto const& d, auto const& u, auto const& v) {
            swiglu_gradient<S>(du, dv, d, u, v, [&](auto const& silu, auto const& up_) { to = silu * up_; });
        },
        dgate, dup, act, dact, gate, up);
}

}  // namespace cpu::rows

template <std::same_as<Cpu> B, class T>
void compute(ops::SwiGLU, B& be, Strided<T> act, Strided<T const> gate, Strided<T const> up) {
    be.for_each(act.rows, 4 * act.cols,
                [=](index_t row) { cpu::rows::swiglu(act.row(row), gate.row(row), up.row(row), act.cols); });
}

template <std::same_as<Cpu> B, class T>
void compute(ops::SwiGLUBackward, B& be, Strided<T> dgate, Strided<T> dup, Strided<T> act,
             Strided<T const> dact, Strided<T const> gate, Strided<T const> up) {
    be.for_each(dgate.rows, 7 * dgate.cols, [=](index_t row) {
        cpu::rows::swiglu_backward(dgate.row(row), dup.row(row), act.data == nullptr ? nullptr : act.row(row),
                                   dact.row(row), gate.row(row), up.row(row), dgate.cols);
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
