// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_TRAINER_HPP
#define DEEPSEEK_TRAIN_TRAINER_HPP

#include <deepseek/backend/concept.hpp>
#include <deepseek/core/arena.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/each_tensor.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/model/weights.hpp>
#include <deepseek/train/accumulate.hpp>
#include <deepseek/train/clip.hpp>
#include <deepseek/train/evaluate.hpp>
#include <deepseek/train/options.hpp>
#include <deepseek/train/progress.hpp>
#include <deepseek/train/rounded_weights.hpp>
#include <deepseek/train/update.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI {

/// Trains model M on backend B: forward and backward over micro-batches, clipping, AdamW, and the routers' balancing. A
/// step waits for the backend once, and allocates nothing once a step of equal extents has run.
///
/// Activations and the weights that they meet have elements of Compute. What is learned, gradients and moments have those
/// of Master: float for float and bf16, double for double. Where the two differ, a step begins by rounding the weights.
///
/// Resuming from the same weights, moments and counters continues bit for bit.
///
/// step() is composed of parts that a loop of one's own may call instead: to look at gradients before they are used, to
/// change the rate of one step, or to add up the gradients of several processes:
///
///     trainer.begin();
///     trainer.accumulate(micro_batches, {.targets = of_all_processes, .first = of_those_before});
///     auto const sums = trainer.buffers();
///     all_reduce(sums.gradients, sums.gradient_count);  // adds, element by element
///     all_reduce(sums.sums, sums.sum_count);
///     auto report = trainer.clip();  // waits for the backend
///     report.rate *= 0.5;
///     trainer.update(report);
template <class M, class Compute, class B>
class Trainer {
    static_assert(Element<Compute>, "Trainer<M, Compute, B>: Compute must be float, double or bf16");
    static_assert(
        Backend<B>,
        "Trainer: what it runs on must be a Backend; deepseek/backend/concept.hpp lists what one has");

public:
    static constexpr std::size_t depth = static_cast<std::size_t>(M::mtp_depth);
    using Master = accumulate_t<Compute>;
    using Progress = TrainProgress;

    /// The weights and the backend must outlive the trainer.
    ///
    /// Errors:    Error if an option makes no sense; what the backend throws when memory is short
    Trainer(B& backend, Weights<M, Master, B>& weights, TrainOptions const& options)
        : backend_(&backend),
          weights_(&weights),
          options_(options),
          sums_(backend),
          moments_(backend),
          arena_(backend),
          evaluation_(backend),
          rounded_(backend) {
        options_.validate();
        each_tensor<M, Master>([&](Info const& info, Place const& place) {
            if (info.role == Role::state) {
                load_.emplace_back(static_cast<std::size_t>(place.size()));
            }
        });
    }

    /// Refused: steps of training are too small for bf16 to hold.
    Trainer(B& backend, Weights<M, bf16, B>&,
            TrainOptions const& options) requires(!std::is_same_v<Compute, Master>)
        : Trainer(backend, *static_cast<Weights<M, Master, B>*>(nullptr), options) {
        static_assert(
            detail::never<M>,
            "Trainer: weights must be float or double to be trained; Trainer<M, bf16, B> computes in "
            "bf16 with weights of float");
    }

    TrainOptions const& options() const { return options_; }
    /// Changes the learning rates of the steps to come, for instance because the run is to end sooner or later.
    ///
    /// Errors:    Error naming the first value that makes no sense; the schedule is then as before
    void set_schedule(Schedule const& schedule) {
        auto options = options_;
        options.schedule = schedule;
        options.validate();
        options_ = options;
    }
    /// Where the run stands; assign to it, to the weights and to the moments to go on with another run.
    Progress& progress() { return progress_; }
    Progress const& progress() const { return progress_; }
    Weights<M, Master, B>& weights() { return *weights_; }
    Weights<M, Master, B>& first_moment() { return moments_.first; }
    Weights<M, Master, B>& second_moment() { return moments_.second; }
    /// How often every expert was chosen in the last step, for each mixture of experts in the order of the model.
    std::vector<std::vector<double>> const& expert_load() const { return load_; }
    /// The most bytes of activations ever in use at once.
    index_t activation_bytes() const { return arena_.high_water() + backend_->scratch().high_water(); }

    /// One optimizer step over micro-batches. Each weighs as many targets as it has that are not ignored, so that however
    /// they are cut, losses and gradients are means over the targets of the step.
    ///
    /// An exception from any micro-batch leaves weights, moments and progress as they were before the step, and the next
    /// step sees nothing of it. Only the last of the errors below ends a step that is counted.
    ///
    /// Errors:    Error if there is none, or no target that counts; ShapeError if one has not the tokens its extents say;
    ///            Error if an id is outside the vocabulary; Error after more than max_skips consecutive steps without
    ///            a finite loss and gradient norm
    StepReport<depth> step(std::span<Batch const> micro_batches) {
        return step(micro_batches, {}, [](StepBuffers<Master> const&) {});
    }

    /// The same of a step that has other micro-batches elsewhere: `reduce` is called once, with what those here add up
    /// to, and adds to its buffers, element by element, what those of the others do. Everyone then takes the same step.
    /// An exception from `reduce` is one from a micro-batch.
    template <std::invocable<StepBuffers<Master> const&> Reduce>
    StepReport<depth> step(std::span<Batch const> micro_batches, StepPart const& part, Reduce&& reduce) {
        begin();
        accumulate(micro_batches, part);
        reduce(buffers());
        auto const report = clip();
        update(report);
        return report;
    }

    /// Starts a step: gradients and sums are zero. Here and not behind their last use, so that nothing stays of a step that
    /// an exception ended.
    void begin() {
        sums_.clear();
        rounded_.of(*weights_, sums_);
    }

    /// Adds losses and gradients of micro-batches to those of the step that began. Does not wait.
    ///
    /// Errors:    as step; a step that had one has to begin anew
    void accumulate(std::span<Batch const> micro_batches, StepPart const& part = {}) {
        deepseek::accumulate(*backend_, sums_, rounded_.last(*weights_), micro_batches, part, options_,
                             progress_.step, arena_);
    }

    /// What has been accumulated.
    StepBuffers<Master> buffers() { return sums_.buffers(); }

    /// The gradients' norm, the losses, and what update() should do: waits for the backend. Changes only expert_load().
    StepReport<depth> clip() {
        auto const report = deepseek::clip(*backend_, sums_, options_, progress_.step);
        auto from = sums_.host_loads().begin();
        for (auto& load : load_) {
            for (auto& count : load) {
                count = *from++;
            }
        }
        return report;
    }

    /// Ends a step: weights, moments and biases move, unless it is skipped, and progress is made.
    ///
    /// Errors:    Error after more than max_skips consecutive steps that are skipped
    void update(StepReport<depth> const& report) {
        progress_.tokens += report.tokens;
        if (report.skipped) {
            ++progress_.skips;
        } else {
            progress_.skips = 0;
            ++progress_.updates;
            deepseek::update(*backend_, *weights_, moments_, sums_, report, options_, progress_.updates);
        }
        ++progress_.step;
        expects(progress_.skips <= options_.max_skips, "training: no finite loss and gradient norm in ",
                progress_.skips, " consecutive steps, the last of them step ", report.step, ": loss ",
                report.total_loss, ", norm ", report.norm);
    }

    /// Mean losses over the targets of all batches, without dropout, without changing anything.
    ///
    /// Errors:    Error if there is no batch, or no target that counts; ShapeError if one has not the tokens its extents
    ///            say; Error if an id is outside the vocabulary
    Losses<depth> evaluate(std::span<Batch const> batches) {
        return deepseek::evaluate(*backend_, evaluation_, rounded_.of(*weights_, sums_), batches, options_,
                                  arena_);
    }

private:
    B* backend_;
    Weights<M, Master, B>* weights_;
    TrainOptions options_;
    StepSums<M, Master, B> sums_;
    Moments<M, Master, B> moments_;
    Arena<B> arena_;
    LossSums<depth, B> evaluation_;
    RoundedWeights<M, Compute, B> rounded_;
    Progress progress_{};
    std::vector<std::vector<double>> load_;
};

template <class M, class T, class B>
Trainer(B&, Weights<M, T, B>&, TrainOptions const&) -> Trainer<M, T, B>;

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
