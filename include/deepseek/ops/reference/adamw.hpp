// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_ADAMW_HPP
#define DEEPSEEK_OPS_REFERENCE_ADAMW_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/ops/arguments/adamw.hpp>

#include <cmath>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call is one block.
template <class T>
struct AdamW {
    T* weights;
    T const* gradients;
    T* first;
    T* second;
    Segments segments;
    AdamWConstants<T> constants;

    DEEPSEEK_HD void operator()(index_t number) const {
        auto const c = constants;
        auto const block = segments.block(number);
        auto const keep = block.decays ? c.keep : T{1};
        for (auto i = block.begin; i < block.begin + block.size; ++i) {
            auto const g = gradients[i] * c.gradient_scale;
            auto const m = c.beta1 * first[i] + c.rest1 * g;
            auto const v = c.beta2 * second[i] + c.rest2 * (g * g);
            first[i] = m;
            second[i] = v;
            weights[i] = weights[i] * keep - c.step * (m / (std::sqrt(v) * c.inverse_root2 + c.epsilon));
        }
    }
};

}  // namespace loop

template <class B, class T>
void reference(AdamW, B& be, T* weights, T const* gradients, T* first, T* second, Segments const& segments,
               AdamWConstants<T> const& constants) {
    be.for_each(segments.blocks, 4 * Segment::kBlock,
                loop::AdamW<T>{weights, gradients, first, second, segments, constants});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
