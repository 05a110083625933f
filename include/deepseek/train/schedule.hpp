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
    automatic,  ///< cosine in a run of known length, constant in an open-ended one
    constant,
    linear,
    cosine,
    stable,  ///< warm-up, stable, decay: constant until the last `decay_steps`, then linear
};

/// A learning rate over optimizer steps. Whoever sets only the peak gets a run without an end at that rate.
///
/// Steps beyond `total` have the rate of the last step before it.
///
/// Units:     steps are optimizer steps, never micro-batches
/// Source:    warm-up and cosine: DeepSeek-V3 technical report, 4.2; stable: Hu et al. 2024 (MiniCPM)
struct Schedule {
    Decay decay = Decay::automatic;
    double peak = 3e-4;
    double floor = 3e-5;      ///< at the last step, where the rate decays
    index_t warmup = 0;       ///< steps of linear rise; step 0 already moves
    index_t total = 0;        ///< steps of the whole run; 0: open-ended
    index_t decay_steps = 0;  ///< of Decay::stable; 0: a tenth of the run

    /// Whether it is not known when the run ends. Nothing that depends on a part of the run happens then.
    bool open_ended() const { return total == 0; }

    /// Errors:    Error naming the first value that makes no sense
    void validate() const {
        expects(std::isfinite(peak) && peak >= 0, "Schedule: the peak learning rate is ", peak);
        expects(total >= 0, "Schedule: a run of ", total, " steps; 0 is one without an end");
        expects(warmup >= 0 && (open_ended() || warmup <= total), "Schedule: ", warmup,
                " steps of warm-up in a run of ", total);
        expects(!open_ended() || decay == Decay::automatic || decay == Decay::constant,
                "Schedule: the rate is to decay in a run without an end; set total");
        expects(decays() ? std::isfinite(floor) && floor >= 0 && floor <= peak : std::isfinite(floor),
                "Schedule: the final learning rate is ", floor, ", the peak ", peak);
        expects(decay_steps >= 0 && decay_steps <= total, "Schedule: a decay of ", decay_steps,
                " steps in a run of ", total);
    }

    /// The rate of the step-th optimizer step, counted from 0.
    double operator()(index_t step) const {
        if (!open_ended()) {
            step = std::min(step, total - 1);
        }
        if (step < warmup) {
            return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
        }
        auto begin = warmup;
        if (decay == Decay::stable) {
            begin =
                std::max(warmup, total - (decay_steps > 0 ? decay_steps : std::max<index_t>(1, total / 10)));
        }
        if (!decays() || step < begin) {
            return peak;
        }
        // The last step of the run, total - 1, has the final rate.
        auto const span = static_cast<double>(std::max<index_t>(1, total - 1 - begin));
        auto const done = static_cast<double>(step - begin) / span;
        auto const left = decay == Decay::linear || decay == Decay::stable
                              ? 1 - done
                              : 0.5 * (1 + std::cos(std::numbers::pi * done));
        return floor + (peak - floor) * left;
    }

    /// Whether a part of the run, from 0 to 1, is over at a step counted from 0. Steps beyond `total` are like the last
    /// before it, so that the whole of a run is never over; of an open-ended run only the part 0 is.
    bool past(double part, index_t step) const {
        return open_ended()
                   ? part <= 0
                   : static_cast<double>(std::min(step, total - 1)) >= part * static_cast<double>(total);
    }

private:
    bool decays() const { return !open_ended() && decay != Decay::constant; }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
