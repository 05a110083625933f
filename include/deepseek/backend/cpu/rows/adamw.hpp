// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_ADAMW_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_ADAMW_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/ops/arguments/adamw.hpp>

#include <concepts>
#include <limits>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

// As the reference loop; one call is one block.
template <class T>
struct AdamW {
    T* weights;
    T const* gradients;
    T* first;
    T* second;
    Segments segments;
    ops::AdamWConstants<T> constants;

    void operator()(index_t number) const {
        auto const block = segments.block(number);
        auto c = constants;
        c.keep = block.decays ? c.keep : T{1};
        sweep(
            block.size, T{0},
            [c](auto w, auto const& grad, auto m, auto v) {
                Values<T> const g = grad * c.gradient_scale;
                m = c.beta1 * m + c.rest1 * g;
                v = c.beta2 * v + c.rest2 * g.square();
                // Eigen 3.4 has no root of infinity: the last term is 0, or infinite where v is.
                Values<T> const finite = v.min(std::numeric_limits<T>::max());
                Values<T> const root = finite.sqrt() * c.inverse_root2 + c.epsilon + (v - finite);
                w = w * c.keep - c.step * (m / root);
            },
            weights + block.begin, gradients + block.begin, first + block.begin, second + block.begin);
    }
};

}  // namespace cpu::rows

template <std::same_as<Cpu> B, class T>
void compute(ops::AdamW, B& be, T* weights, T const* gradients, T* first, T* second, Segments const& segments,
             ops::AdamWConstants<T> const& constants) {
    be.for_each(segments.blocks, 4 * Segment::kBlock,
                cpu::rows::AdamW<T>{weights, gradients, first, second, segments, constants});
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
