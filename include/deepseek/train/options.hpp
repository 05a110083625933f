// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_OPTIONS_HPP
#define DEEPSEEK_TRAIN_OPTIONS_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/train/schedule.hpp>

#include <cmath>

namespace deepseek::inline DEEPSEEK_ABI {

/// AdamW's constants. Decay is decoupled (Loshchilov and Hutter 2019) and acts on matrices only, not on norm gains and
/// biases. The defaults are the V3 report's; it does not state epsilon.
struct AdamWOptions {
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.1;
};

/// How to train. What the model is belongs to its type; these may change from run to run. A part of the run is one of
/// schedule.total steps: see Schedule::past.
struct TrainOptions {
    Schedule schedule{};
    AdamWOptions adamw{};
    double clip_norm = 1;  ///< largest L2 norm of all gradients together; 0: no clipping

    double mtp_weight = 0.3;        ///< of the mean of the MTP losses, at first …
    double mtp_weight_final = 0.1;  ///< … and later, …
    double mtp_switch = 0.67;  ///< … after this part of the run; 1: never; V3: 10 of 14.8 trillion tokens

    double balance_alpha = 1e-4;  ///< weight of the sequence-wise balance loss
    double bias_speed = 1e-3;     ///< change of the routers' biases per step …
    double bias_freeze = 1;       ///< … until this part of the run, then none; 1: without end; V3: 0.97
    bool bias_zero_mean =
        false;  ///< less the mean of a layer's changes, so that its biases do not drift together

    double embedding_dropout = 0;  ///< probability of zero; of the embedded tokens
    double attention_dropout = 0;  ///< of attention weights
    double residual_dropout = 0;   ///< of what attention and feed-forward networks add to the residual stream

    bool recompute =
        false;          ///< run blocks forward again to go backward: less memory, a third more arithmetic
    Seed seed{};        ///< of dropout masks
    int max_skips = 5;  ///< how many steps in a row may lack a finite loss and gradient norm

    /// Errors:    Error naming the first value that makes no sense
    void validate() const {
        schedule.validate();
        auto const rate = [](double value, char const* name) {
            expects(value >= 0 && value < 1, "TrainOptions: ", name, " is ", value, ", outside [0, 1)");
        };
        auto const part = [](double value, char const* name) {
            expects(value >= 0 && value <= 1, "TrainOptions: ", name, " is ", value, ", outside [0, 1]");
        };
        auto const amount = [](double value, char const* name) {
            expects(std::isfinite(value) && value >= 0, "TrainOptions: ", name, " is ", value,
                    ", not a finite amount");
        };
        rate(adamw.beta1, "beta1");
        rate(adamw.beta2, "beta2");
        rate(embedding_dropout, "embedding_dropout");
        rate(attention_dropout, "attention_dropout");
        rate(residual_dropout, "residual_dropout");
        part(mtp_switch, "mtp_switch");
        part(bias_freeze, "bias_freeze");
        expects(!schedule.open_ended() || bias_freeze == 0 || bias_freeze == 1,
                "TrainOptions: bias_freeze is ", bias_freeze, " of a run without an end; set schedule.total");
        amount(adamw.epsilon, "epsilon");
        // Weights that never had a gradient would be divided by it.
        expects(adamw.epsilon > 0, "TrainOptions: epsilon is 0, expected more");
        amount(adamw.weight_decay, "weight_decay");
        amount(clip_norm, "clip_norm");
        amount(mtp_weight, "mtp_weight");
        amount(mtp_weight_final, "mtp_weight_final");
        amount(balance_alpha, "balance_alpha");
        amount(bias_speed, "bias_speed");
        expects(max_skips >= 0, "TrainOptions: max_skips is negative: ", max_skips);
    }

    /// The weight of the MTP losses in a step, counted from 0.
    double mtp_weight_at(index_t step) const {
        return schedule.past(mtp_switch, step) ? mtp_weight_final : mtp_weight;
    }
    /// How far routers' biases move in a step, counted from 0.
    double bias_speed_at(index_t step) const { return schedule.past(bias_freeze, step) ? 0 : bias_speed; }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
