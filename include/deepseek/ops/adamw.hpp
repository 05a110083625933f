// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ADAMW_HPP
#define DEEPSEEK_OPS_ADAMW_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/adamw.hpp>

#include <cmath>
#include <concepts>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Constants of one optimizer step.
struct AdamWStep {
    double rate = 0;  ///< learning rate
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0;    ///< decoupled: the weight shrinks by rate · weight_decay of itself
    double correction1 = 1;     ///< 1 - beta1^t, t from 1
    double correction2 = 1;     ///< 1 - beta2^t
    double gradient_scale = 1;  ///< on the gradient before anything else: the factor of clipping by norm

    /// As they are computed with, each rounded once.
    template <class T>
    AdamWConstants<T> rounded() const {
        return {.keep = static_cast<T>(1 - rate * weight_decay),
                .step = static_cast<T>(rate / correction1),
                .beta1 = static_cast<T>(beta1),
                .beta2 = static_cast<T>(beta2),
                .rest1 = static_cast<T>(1 - beta1),
                .rest2 = static_cast<T>(1 - beta2),
                .inverse_root2 = static_cast<T>(1 / std::sqrt(correction2)),
                .epsilon = static_cast<T>(epsilon),
                .gradient_scale = static_cast<T>(gradient_scale)};
    }
};

/// One step of Adam with decoupled weight decay on the segments of a set of weights:
/// m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g²,
/// w = w (1 - rate · weight_decay) - rate · (m / correction1) / (sqrt(v / correction2) + epsilon).
/// Segments that do not decay have a weight_decay of 0.
///
/// Shapes:    weights, gradients, first, second: sets of the same model; what is in none of the segments stays
/// Precision: that of the sets
/// Errors:    Error if correction1, correction2 or epsilon is not positive
/// Cost:      one launch; reads four and writes three elements per entry
/// Source:    Loshchilov, Hutter 2019; the order of operations is that of torch.optim.AdamW
template <class B, std::floating_point T>
void adamw(B& be, T* weights, T const* gradients, T* first, T* second, Segments const& segments,
           AdamWStep const& step) {
    expects(step.correction1 > 0 && step.correction2 > 0 && step.epsilon > 0,
            "adamw: corrections and epsilon must be positive, not ", step.correction1, ", ", step.correction2,
            ", ", step.epsilon);
    if (segments.blocks > 0) {
        call<AdamW>(be, weights, gradients, first, second, segments, step.rounded<T>());
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
