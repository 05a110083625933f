// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_KERNELS_SWIGLU_HPP
#define DEEPSEEK_KERNELS_SWIGLU_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cmath>

// One thread is one element, so that neighbours read neighbours.

namespace deepseek::inline DEEPSEEK_ABI::kernels {

template <class T>
struct SwiGLU {
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = 128;
    struct Shared {};

    Strided<T> act;
    Strided<T const> gate;
    Strided<T const> up;

    DEEPSEEK_HD index_t blocks() const { return act.rows * ceil_div(act.cols, kThreads); }

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const pieces = ceil_div(act.cols, kThreads);
        auto const row = block.index() / pieces;
        auto const c = block.index() % pieces * kThreads + block.thread();
        if (c < act.cols) {
            auto const u = convert<Sum>(gate.row(row)[c]);
            act.row(row)[c] = convert<T>(u / (1 + std::exp(-u)) * convert<Sum>(up.row(row)[c]));
        }
    }
};

/// With s = sigmoid(u): d silu(u) / du = s · (1 + u · (1 - s)).
template <class T>
struct SwiGLUBackward {
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = 128;
    struct Shared {};

    Strided<T> dgate;
    Strided<T> dup;
    Strided<T> act;  ///< written where it has data
    Strided<T const> dact;
    Strided<T const> gate;
    Strided<T const> up;

    DEEPSEEK_HD index_t blocks() const { return dgate.rows * ceil_div(dgate.cols, kThreads); }

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const pieces = ceil_div(dgate.cols, kThreads);
        auto const row = block.index() / pieces;
        auto const c = block.index() % pieces * kThreads + block.thread();
        if (c < dgate.cols) {  // outputs may be the memory of inputs: all is read first
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

}  // namespace deepseek::inline DEEPSEEK_ABI::kernels

#endif
