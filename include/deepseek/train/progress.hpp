// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_PROGRESS_HPP
#define DEEPSEEK_TRAIN_PROGRESS_HPP

#include <deepseek/core/index.hpp>

#include <array>
#include <cstddef>

namespace deepseek::inline DEEPSEEK_ABI {

/// Where a run stands; together with weights and moments it is all that resuming needs.
struct TrainProgress {
    index_t step = 0;     ///< optimizer steps of the schedule, skipped ones included
    index_t updates = 0;  ///< steps that changed the weights: Adam's t
    index_t tokens = 0;   ///< tokens of main-model input seen
    int skips = 0;        ///< consecutive skipped steps
};

/// Mean losses of some batches, in nats per target that counts.
template <std::size_t Depth>
struct Losses {
    double main = 0;
    std::array<double, Depth> mtp{};  ///< per depth, divided by the main model's number of targets
    double balance = 0;               ///< of all mixtures of experts, alpha included
};

/// What one optimizer step did, or is about to do.
template <std::size_t Depth>
struct StepReport {
    index_t step = 0;  ///< its number, from 0
    Losses<Depth> losses{};
    double total_loss = 0;      ///< main + weighted MTP + balance: what was minimised
    double norm = 0;            ///< of all gradients, before clipping
    double gradient_scale = 1;  ///< what clipping multiplies the gradients with
    double rate = 0;            ///< learning rate
    index_t tokens = 0;         ///< of main-model input
    bool skipped = false;       ///< loss or norm was not finite: weights, moments and biases are as before
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
