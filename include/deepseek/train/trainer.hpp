// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_TRAINER_HPP
#define DEEPSEEK_TRAIN_TRAINER_HPP

#include <deepseek/backend/concept.hpp>
#include <deepseek/core/arena.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/each_tensor.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/model/weights.hpp>
#include <deepseek/ops/adamw.hpp>
#include <deepseek/ops/reduce.hpp>
#include <deepseek/ops/route.hpp>
#include <deepseek/train/options.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI {

/// Mean losses of some batches, in nats per target that counts.
template <std::size_t Depth>
struct Losses {
    double main = 0;
    std::array<double, Depth> mtp{};  ///< per depth, divided by the main model's number of targets
    double balance = 0;               ///< of all mixtures of experts, alpha included
};

/// What one optimizer step did.
template <std::size_t Depth>
struct StepReport {
    index_t step = 0;  ///< its number, from 0
    Losses<Depth> losses{};
    double total_loss = 0;  ///< main + weighted MTP + balance: what was minimised
    double norm = 0;        ///< of all gradients, before clipping
    double rate = 0;        ///< learning rate
    bool skipped = false;   ///< loss or norm was not finite: weights, moments and biases are as before
};

/// Trains model M with elements T on backend B: forward and backward over micro-batches, clipping, AdamW, and the
/// routers' balancing. A step waits for the backend at its end, for losses and the experts' load, and allocates nothing
/// once a step of equal extents has run.
///
/// Resuming from the same weights, moments and counters continues bit for bit.
template <class M, class T, class B>
class Trainer {
    static_assert(
        Backend<B>,
        "Trainer: what it runs on must be a Backend; deepseek/backend/concept.hpp lists what one has");

public:
    static constexpr std::size_t depth = static_cast<std::size_t>(M::mtp_depth);

    /// Where a run stands; together with weights and moments it is all that resuming needs.
    struct Progress {
        index_t step = 0;     ///< optimizer steps of the schedule, skipped ones included
        index_t updates = 0;  ///< steps that changed the weights: Adam's t
        index_t tokens = 0;   ///< tokens of main-model input seen
        int skips = 0;        ///< consecutive skipped steps
    };

    /// The weights and the backend must outlive the trainer.
    ///
    /// Errors:    Error if an option makes no sense; what the backend throws when memory is short
    Trainer(B& backend, Weights<M, T, B>& weights, TrainOptions const& options)
        : backend_(&backend),
          weights_(&weights),
          options_(options),
          gradients_(backend),
          first_moment_(backend),
          second_moment_(backend),
          arena_(backend),
          sums_(backend, kSums * static_cast<index_t>(sizeof(double))) {
        options_.validate();
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
    Weights<M, T, B>& weights() { return *weights_; }
    Weights<M, T, B>& first_moment() { return first_moment_; }
    Weights<M, T, B>& second_moment() { return second_moment_; }
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
        auto const targets = count_targets("Trainer::step", micro_batches);
        // Here and not behind the last use, so that nothing stays of a step or evaluation that an exception ended.
        backend_->fill_zero(gradients_.data(), gradients_.bytes());
        backend_->fill_zero(sums_.data(), sums_.bytes());
        index_t tokens = 0;
        auto const mtp_weight = options_.mtp_weight_at(progress_.step);
        auto const random = RandomKey{options_.seed}.fork(static_cast<std::uint64_t>(progress_.step));
        for (std::size_t i = 0; i < micro_batches.size(); ++i) {
            auto const& batch = micro_batches[i];
            Pass const pass{.sequences = batch.sequences,
                            .length = batch.length,
                            .loss_scale = share(batch, targets),
                            .balance_alpha = options_.balance_alpha,
                            .balance_loss = sums() + kBalance,
                            .recompute = options_.recompute,
                            .embedding_dropout = options_.embedding_dropout,
                            .attention_dropout = options_.attention_dropout,
                            .residual_dropout = options_.residual_dropout,
                            .random = random.fork(i)};
            auto const scope = arena_.scope();
            auto tape = M::template forward<T>(*backend_, pass, weights_->view(), batch, arena_);
            M::template backward<T>(*backend_, weights_->view(), tape, gradients_.params(), mtp_weight,
                                    sums());
            tokens += pass.rows();
        }
        each_tensor<M, T>([&](Info const& info, Place const& place) {
            if (info.role != Role::state) {
                with_element<T>(place, [&]<class E>(std::type_identity<E>) {
                    E const* const gradient = elements_at<E>(gradients_.data(), place);
                    ops::sum_of_squares(*backend_, sums() + kNorm, gradient, place.size());
                });
            }
        });

        auto const values = read_sums();  // waits for the backend
        StepReport<depth> report{.step = progress_.step,
                                 .losses = losses_of(values),
                                 .norm = std::sqrt(values[kNorm]),
                                 .rate = options_.schedule(progress_.step)};
        report.total_loss = report.losses.main + report.losses.balance;
        for (auto const loss : report.losses.mtp) {
            report.total_loss += mtp_weight / static_cast<double>(depth) * loss;
        }
        report.skipped = !std::isfinite(report.total_loss) || !std::isfinite(report.norm);
        read_expert_load();
        progress_.tokens += tokens;
        if (report.skipped) {
            ++progress_.skips;
        } else {
            progress_.skips = 0;
            update(report);
        }
        ++progress_.step;
        expects(progress_.skips <= options_.max_skips, "training: no finite loss and gradient norm in ",
                progress_.skips, " consecutive steps, the last of them step ", report.step, ": loss ",
                report.total_loss, ", norm ", report.norm);
        return report;
    }

    /// Mean losses over the targets of all batches, without dropout, without changing anything.
    ///
    /// Errors:    Error if there is no batch, or no target that counts; ShapeError if one has not the tokens its extents
    ///            say; Error if an id is outside the vocabulary
    Losses<depth> evaluate(std::span<Batch const> batches) {
        auto const targets = count_targets("Trainer::evaluate", batches);
        backend_->fill_zero(sums_.data(), sums_.bytes());
        for (auto const& batch : batches) {
            Pass const pass{.sequences = batch.sequences,
                            .length = batch.length,
                            .loss_scale = share(batch, targets),
                            .balance_alpha = options_.balance_alpha,
                            .balance_loss = sums() + kBalance,
                            .recompute = true};  // nothing to keep for a backward pass
            auto const scope = arena_.scope();
            auto tape = M::template forward<T>(*backend_, pass, weights_->view(), batch, arena_);
            M::template loss<T>(*backend_, weights_->view(), tape, sums());
        }
        return losses_of(read_sums());
    }

private:
    // Sums the backend keeps during a step: losses of the main model and of each depth, then these.
    static constexpr std::size_t kBalance = depth + 1;
    static constexpr std::size_t kNorm = depth + 2;
    static constexpr std::size_t kSums = depth + 3;

    using Count = count_t<accumulate_t<T>>;  // the router counts in place of its bias's gradient

    // Of all batches, checked before anything is computed.
    static index_t count_targets(char const* what, std::span<Batch const> batches) {
        index_t count = 0;
        for (auto const& batch : batches) {
            check_batch(batch, M::vocabulary);
            count += counted_targets(batch);
        }
        expects(count > 0, what, ": no target that counts in ", batches.size(), " batches");
        return count;
    }
    static double share(Batch const& batch, index_t targets) {
        return static_cast<double>(counted_targets(batch)) / static_cast<double>(targets);
    }

    double* sums() { return reinterpret_cast<double*>(sums_.data()); }

    std::array<double, kSums> read_sums() {
        std::array<double, kSums> values{};
        backend_->copy_to_host(values.data(), sums_.data(), sums_.bytes());
        return values;
    }

    static Losses<depth> losses_of(std::array<double, kSums> const& values) {
        Losses<depth> losses{.main = values[0], .balance = values[kBalance]};
        for (std::size_t k = 0; k < depth; ++k) {
            losses.mtp[k] = values[k + 1];
        }
        return losses;
    }

    void update(StepReport<depth> const& report) {
        ++progress_.updates;
        auto const t = static_cast<double>(progress_.updates);
        auto const& adamw = options_.adamw;
        ops::AdamWStep constants{.rate = report.rate,
                                 .beta1 = adamw.beta1,
                                 .beta2 = adamw.beta2,
                                 .epsilon = adamw.epsilon,
                                 .correction1 = 1 - std::pow(adamw.beta1, t),
                                 .correction2 = 1 - std::pow(adamw.beta2, t),
                                 .gradient_scale = options_.clip_norm > 0 && report.norm > options_.clip_norm
                                                       ? options_.clip_norm / report.norm
                                                       : 1.0};
        auto const bias_speed = options_.bias_speed_at(report.step);
        each_tensor<M, T>([&](Info const& info, Place const& place) {
            with_element<T>(place, [&]<class E>(std::type_identity<E>) {
                auto* const weight = elements_at<E>(weights_->data(), place);
                auto* const gradient = elements_at<E>(gradients_.data(), place);
                if (info.role == Role::state) {
                    ops::update_bias(*backend_, weight, gradient, place.size(), bias_speed,
                                     options_.bias_zero_mean);
                    return;
                }
                constants.weight_decay = info.role == Role::decayed ? adamw.weight_decay : 0;
                ops::adamw(*backend_, weight, gradient, elements_at<E>(first_moment_.data(), place),
                           elements_at<E>(second_moment_.data(), place), place.size(), constants);
            });
        });
    }

    void read_expert_load() {
        std::size_t layer = 0;
        each_tensor<M, T>([&](Info const& info, Place const& place) {
            if (info.role != Role::state) {
                return;
            }
            counts_.resize(static_cast<std::size_t>(place.size()));
            backend_->copy_to_host(counts_.data(), gradients_.data() + place.offset,
                                   place.size() * static_cast<index_t>(sizeof(Count)));
            if (layer == load_.size()) {
                load_.emplace_back(counts_.size());
            }
            load_[layer++].assign(counts_.begin(), counts_.end());
        });
    }

    B* backend_;
    Weights<M, T, B>* weights_;
    TrainOptions options_;
    Weights<M, T, B> gradients_;
    Weights<M, T, B> first_moment_;
    Weights<M, T, B> second_moment_;
    Arena<B> arena_;
    Buffer<B> sums_;
    Progress progress_{};
    std::vector<std::vector<double>> load_;
    std::vector<Count> counts_;  // of one layer, on their way to load_
};

/// Refused: steps of training are too small for bf16 to hold. It parses as a Trainer does, so that the refusal is the
/// only error.
template <class M, class B>
class Trainer<M, bf16, B> {
    static_assert(
        detail::never<M>,
        "Trainer: weights must be float or double to be trained; bf16 is for generating (copy_weights "
        "converts)");

public:
    static constexpr std::size_t depth = static_cast<std::size_t>(M::mtp_depth);
    struct Progress {
        index_t step = 0, updates = 0, tokens = 0;
        int skips = 0;
    };
    Trainer(B&, Weights<M, bf16, B>& weights, TrainOptions const& options)
        : weights_(&weights), options_(options) {}
    TrainOptions const& options() const { return options_; }
    void set_schedule(Schedule const&) {}
    Progress& progress() { return progress_; }
    Weights<M, bf16, B>& weights() { return *weights_; }
    Weights<M, bf16, B>& first_moment() { return *weights_; }
    Weights<M, bf16, B>& second_moment() { return *weights_; }
    std::vector<std::vector<double>> expert_load() const { return {}; }
    index_t activation_bytes() const { return 0; }
    StepReport<depth> step(std::span<Batch const>) { return {}; }
    Losses<depth> evaluate(std::span<Batch const>) { return {}; }

private:
    Weights<M, bf16, B>* weights_;
    TrainOptions options_;
    Progress progress_{};
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
