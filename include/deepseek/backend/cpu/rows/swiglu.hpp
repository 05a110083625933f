// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_SWIGLU_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_SWIGLU_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <concepts>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

template <class T>
void swiglu(T* act, T const* gate, T const* up, index_t count) {
    sweep<T>(
        count, T{0}, [](auto to, auto const& u, auto const& v) { to = u * v / (T{1} + (-u).exp()); }, act,
        gate, up);
}

// With s = sigmoid(u): d silu(u) / du = s + silu · (1 - s). `value` is for act, if it is asked for.
template <class T, class Value>
[[gnu::always_inline]] inline void swiglu_gradient(Stretch<T> dgate, Stretch<T> dup, Stretch<T const> dact,
                                                   Stretch<T const> gate, Stretch<T const> up,
                                                   Value const& value) {
    Values<T> const d = dact;  // in registers: outputs may be the memory of inputs
    Values<T> const u = gate;
    Values<T> const v = up;
    Values<T> const s = (T{1} + (-u).exp()).inverse();
    Values<T> const silu = u * s;
    dgate = d * v * (s + silu * (T{1} - s));
    dup = d * silu;
    value(silu, v);
}

template <class T>
void swiglu_backward(T* dgate, T* dup, T const* dact, T const* gate, T const* up, index_t count) {
    sweep<T>(
        count, T{0},
        [](auto du, auto dv, auto const& d, auto const& u, auto const& v) {
            swiglu_gradient<T>(du, dv, d, u, v, [](auto const&, auto const&) {});
        },
        dgate, dup, dact, gate, up);
}

template <class T>
void swiglu_backward(T* dgate, T* dup, T* act, T const* dact, T const* gate, T const* up, index_t count) {
    sweep<T>(
        count, T{0},
        [](auto du, auto dv, auto to, auto const& d, auto const& u, auto const& v) {
            swiglu_gradient<T>(du, dv, d, u, v, [&](auto const& silu, auto const& up_) { to = silu * up_; });
        },
        dgate, dup, act, dact, gate, up);
}

}  // namespace cpu::rows

template <std::same_as<Cpu> B, std::floating_point T, index_t C>
void swiglu_impl(B& be, Rows<T, C> act, Rows<T const, C> gate, Rows<T const, C> up) {
    be.for_each(act.rows, 4 * C,
                [=](index_t row) { cpu::rows::swiglu(act.row(row), gate.row(row), up.row(row), C); });
}

template <std::same_as<Cpu> B, std::floating_point T, index_t C>
void swiglu_backward_impl(B& be, Rows<T, C> dgate, Rows<T, C> dup, Rows<T const, C> dact,
                          Rows<T const, C> gate, Rows<T const, C> up) {
    be.for_each(dgate.rows, 6 * C, [=](index_t row) {
        cpu::rows::swiglu_backward(dgate.row(row), dup.row(row), dact.row(row), gate.row(row), up.row(row),
                                   C);
    });
}

template <std::same_as<Cpu> B, std::floating_point T, index_t C>
void swiglu_backward_impl(B& be, Rows<T, C> dgate, Rows<T, C> dup, Rows<T, C> act, Rows<T const, C> dact,
                          Rows<T const, C> gate, Rows<T const, C> up) {
    be.for_each(dgate.rows, 7 * C, [=](index_t row) {
        cpu::rows::swiglu_backward(dgate.row(row), dup.row(row), act.row(row), dact.row(row), gate.row(row),
                                   up.row(row), C);
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
