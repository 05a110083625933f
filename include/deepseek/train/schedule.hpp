// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_SCHEDULE_HPP
#define DEEPSEEK_TRAIN_SCHEDULE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace deepseek::inline DEEPSEEK_ABI {

/// The shape of the learning rate between warm-up and end.
enum class Decay : std::uint8_t {
    constant,
    linear,
    cosine,
    stable,  ///< warm-up, stable, decay: constant until the last `decay_steps`, then linear
};

/// A learning rate over optimizer steps.
///
/// Units:     steps are optimizer steps, never micro-batches
/// Source:    warm-up and cosine: DeepSeek-V3 technical report, 4.2; stable: Hu et al. 2024 (MiniCPM)
struct Schedule {
    Decay decay = Decay::cosine;
    double peak = 3e-4;
    double floor = 3e-5;      ///< at the last step, and after it
    index_t warmup = 0;       ///< steps of linear rise; step 0 already moves
    index_t total = 1;        ///< steps of the whole run
    index_t decay_steps = 0;  ///< of Decay::stable; 0: a tenth of the run

    /// Errors:    Error naming the first value that makes no sense
    void validate() const {
        expects(std::isfinite(peak) && peak >= 0, "Schedule: the peak learning rate is ", peak);
        expects(std::isfinite(floor) && floor >= 0 && floor <= peak, "Schedule: the final learning rate is ",
                floor, ", the peak ", peak);
        expects(total > 0, "Schedule: a run of ", total, " steps");
        expects(warmup >= 0 && warmup <= total, "Schedule: ", warmup, " steps of warm-up in a run of ",
                total);
        expects(decay_steps >= 0 && decay_steps <= total, "Schedule: a decay of ", decay_steps,
                " steps in a run of ", total);
    }

    /// The rate of the step-th optimizer step, counted from 0.
    double operator()(index_t step) const {
        if (step < warmup) {
            return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
        }
        auto begin = warmup;
        if (decay == Decay::stable) {
            begin =
                std::max(warmup, total - (decay_steps > 0 ? decay_steps : std::max<index_t>(1, total / 10)));
        }
        if (decay == Decay::constant || step < begin) {
            return peak;
        }
        // The last step of the run, total - 1, has the final rate.
        auto const span = static_cast<double>(std::max<index_t>(1, total - 1 - begin));
        auto const done = std::min(1.0, static_cast<double>(step - begin) / span);
        auto const left = decay == Decay::cosine ? 0.5 * (1 + std::cos(std::numbers::pi * done)) : 1 - done;
        return floor + (peak - floor) * left;
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
