// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ADAMW_HPP
#define DEEPSEEK_OPS_ADAMW_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/generic/adamw.hpp>

#include <cmath>
#include <type_traits>

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
};

/// One step of Adam with decoupled weight decay on `count` elements:
/// m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g²,
/// w = w (1 - rate · weight_decay) - rate · (m / correction1) / (sqrt(v / correction2) + epsilon).
///
/// Precision: computed in accumulate_t of the moments
/// Errors:    Error if correction1, correction2 or epsilon is not positive
/// Cost:      reads four and writes three elements per entry
/// Source:    Loshchilov, Hutter 2019; the order of operations is that of torch.optim.AdamW
template <class B, class W, class G, class M>
void adamw(B& be, W* weight, G const* gradient, M* first, M* second, index_t count, AdamWStep const& step) {
    expects(step.correction1 > 0 && step.correction2 > 0 && step.epsilon > 0,
            "adamw: corrections and epsilon must be positive, not ", step.correction1, ", ", step.correction2,
            ", ", step.epsilon);
    if (count == 0) {
        return;
    }
    if constexpr (requires { adamw_impl(be, weight, gradient, first, second, count, step); }) {
        adamw_impl(be, weight, gradient, first, second, count, step);
    } else {
        using S = accumulate_t<M>;
        using Body = generic::AdamW<W, G, M, S>;
        be.for_each(ceil_div(count, Body::kBlock), 4 * Body::kBlock,
                    Body{.weight = weight,
                         .gradient = gradient,
                         .first = first,
                         .second = second,
                         .count = count,
                         .keep = static_cast<S>(1 - step.rate * step.weight_decay),
                         .step = static_cast<S>(step.rate / step.correction1),
                         .beta1 = static_cast<S>(step.beta1),
                         .beta2 = static_cast<S>(step.beta2),
                         .rest1 = static_cast<S>(1 - step.beta1),
                         .rest2 = static_cast<S>(1 - step.beta2),
                         .inverse_root2 = static_cast<S>(1 / std::sqrt(step.correction2)),
                         .epsilon = static_cast<S>(step.epsilon),
                         .gradient_scale = static_cast<S>(step.gradient_scale)});
    }
}

/// The same on one tensor.
///
/// Shapes:    weight, gradient, first, second [R, C]
template <class B, class W, class G, class M, index_t R, index_t C>
void adamw(B& be, Matrix<W, R, C> weight, Matrix<G, R, C> gradient, Matrix<M, R, C> first,
           Matrix<M, R, C> second, AdamWStep const& step) {
    adamw(be, weight.data, static_cast<std::remove_const_t<G> const*>(gradient.data), first.data, second.data,
          Matrix<W, R, C>::size, step);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
