// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_UPDATE_HPP
#define DEEPSEEK_TRAIN_UPDATE_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/model/weights.hpp>
#include <deepseek/ops/adamw.hpp>
#include <deepseek/ops/expert_load.hpp>
#include <deepseek/train/accumulate.hpp>
#include <deepseek/train/options.hpp>
#include <deepseek/train/progress.hpp>

#include <cmath>
#include <cstddef>

// The last part of an optimizer step: what changes weights, moments and biases.

namespace deepseek::inline DEEPSEEK_ABI {

/// AdamW's running means of a model's gradients and of their squares.
template <class M, class T, class B>
struct Moments {
    explicit Moments(B& backend) : first(backend), second(backend) {}

    Weights<M, T, B> first;
    Weights<M, T, B> second;
};

/// Moves weights by AdamW and the routers' biases by their loads, as `report` says; `updates` counts from 1.
template <class M, class T, class B>
void update(B& be, Weights<M, T, B>& weights, Moments<M, T, B>& moments, StepSums<M, T, B>& sums,
            StepReport<StepSums<M, T, B>::depth> const& report, TrainOptions const& options,
            index_t updates) {
    auto const t = static_cast<double>(updates);
    auto const& adamw = options.adamw;
    ops::AdamWStep const constants{.rate = report.rate,
                                   .beta1 = adamw.beta1,
                                   .beta2 = adamw.beta2,
                                   .epsilon = adamw.epsilon,
                                   .weight_decay = adamw.weight_decay,
                                   .correction1 = 1 - std::pow(adamw.beta1, t),
                                   .correction2 = 1 - std::pow(adamw.beta2, t),
                                   .gradient_scale = report.gradient_scale};
    auto const elements = [](Weights<M, T, B>& set) { return reinterpret_cast<T*>(set.data()); };
    T const* const gradients = sums.buffers().gradients;
    ops::adamw(be, elements(weights), gradients, elements(moments.first), elements(moments.second),
               sums.learned(), constants);
    ops::update_biases(be, elements(weights), sums.loads(), sums.routers(),
                       options.bias_speed_at(report.step), options.bias_zero_mean);
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
