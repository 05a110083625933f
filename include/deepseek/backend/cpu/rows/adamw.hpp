// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_ADAMW_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_ADAMW_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

// One block of a set of weights; constants as the operation's own, rounded once.
template <class T>
struct AdamW {
    static constexpr index_t kBlock = 2048;

    T* weight;
    T const* gradient;
    T* first;
    T* second;
    index_t count;
    T keep;  // 1 - rate · weight_decay
    T step;  // rate / correction1
    T beta1;
    T beta2;
    T rest1;
    T rest2;
    T inverse_root2;  // 1 / sqrt(correction2)
    T epsilon;
    T gradient_scale;

    void operator()(index_t block) const {
        auto const begin = block * kBlock;
        sweep<T>(
            std::min(kBlock, count - begin), T{0},
            [c = *this](auto w, auto const& grad, auto m, auto v) {
                Values<T> const g = grad * c.gradient_scale;
                m = c.beta1 * m + c.rest1 * g;
                v = c.beta2 * v + c.rest2 * g.square();
                // Eigen 3.4 has no root of infinity: the last term is 0, or infinite where v is.
                Values<T> const finite = v.min(std::numeric_limits<T>::max());
                Values<T> const root = finite.sqrt() * c.inverse_root2 + c.epsilon + (v - finite);
                w = w * c.keep - c.step * (m / root);
            },
            weight + begin, gradient + begin, first + begin, second + begin);
    }
};

}  // namespace cpu::rows

template <std::same_as<Cpu> B, std::floating_point T, class Step>
void adamw_impl(B& be, T* weight, T const* gradient, T* first, T* second, index_t count, Step const& step) {
    using Body = cpu::rows::AdamW<T>;
    be.for_each(ceil_div(count, Body::kBlock), 4 * Body::kBlock,
                Body{.weight = weight,
                     .gradient = gradient,
                     .first = first,
                     .second = second,
                     .count = count,
                     .keep = static_cast<T>(1 - step.rate * step.weight_decay),
                     .step = static_cast<T>(step.rate / step.correction1),
                     .beta1 = static_cast<T>(step.beta1),
                     .beta2 = static_cast<T>(step.beta2),
                     .rest1 = static_cast<T>(1 - step.beta1),
                     .rest2 = static_cast<T>(1 - step.beta2),
                     .inverse_root2 = static_cast<T>(1 / std::sqrt(step.correction2)),
                     .epsilon = static_cast<T>(step.epsilon),
                     .gradient_scale = static_cast<T>(step.gradient_scale)});
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
