// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_CLIP_HPP
#define DEEPSEEK_TRAIN_CLIP_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/ops/reduce.hpp>
#include <deepseek/train/accumulate.hpp>
#include <deepseek/train/options.hpp>
#include <deepseek/train/progress.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>

// The second part of an optimizer step: what the gradients add up to, and by how much they are too long.

namespace deepseek::inline DEEPSEEK_ABI {

/// Computes the norm of a step's gradients, waits for all that the step has computed, and says what an update should do.
/// Nothing else in a step waits.
///
/// Units:     gradients of a norm above options.clip_norm are scaled to it
template <class M, class T, class B>
StepReport<StepSums<M, T, B>::depth> clip(B& be, StepSums<M, T, B>& sums, TrainOptions const& options,
                                          index_t step) {
    be.fill_zero(sums.squares(), sizeof(double));
    T const* const gradients = sums.buffers().gradients;
    ops::sum_of_squares(be, sums.squares(), gradients, sums.learned());
    sums.read();
    auto report = sums.report();
    report.step = step;
    report.total_loss = report.losses.main + report.losses.balance;
    auto const depth = static_cast<double>(std::max<std::size_t>(1, report.losses.mtp.size()));
    for (auto const loss : report.losses.mtp) {
        report.total_loss += options.mtp_weight_at(step) / depth * loss;
    }
    report.rate = options.schedule(step);
    if (options.clip_norm > 0 && report.norm > options.clip_norm) {
        report.gradient_scale = options.clip_norm / report.norm;
    }
    report.skipped = !std::isfinite(report.total_loss) || !std::isfinite(report.norm);
    return report;
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
