// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_ACCUMULATE_HPP
#define DEEPSEEK_TRAIN_ACCUMULATE_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/model/weights.hpp>
#include <deepseek/ops/expert_load.hpp>
#include <deepseek/ops/reduce.hpp>
#include <deepseek/train/loss_share.hpp>
#include <deepseek/train/options.hpp>
#include <deepseek/train/progress.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// The first part of an optimizer step: forward and backward over micro-batches, into gradients and sums.

namespace deepseek::inline DEEPSEEK_ABI {

/// Which part of an optimizer step some micro-batches are, where the step has others: those of another call, or of other
/// processes.
struct StepPart {
    index_t targets = 0;  ///< that count, of all micro-batches of the step; 0: there are no others
    index_t first = 0;    ///< how many micro-batches of the step come before these; dropout depends on it
};

/// What one step adds up, as two buffers in the backend's memory. Every element is a sum over micro-batches: buffers of
/// several processes that are added element by element hold the step of all their micro-batches together.
template <class T>
struct StepBuffers {
    T* gradients = nullptr;
    index_t gradient_count = 0;
    double* sums = nullptr;  ///< losses, tokens, and how often every expert was chosen
    index_t sum_count = 0;
};

/// Gradients and sums of a step of model M; gradients have elements of T.
template <class M, class T, class B>
class StepSums {
public:
    static constexpr std::size_t depth = static_cast<std::size_t>(M::mtp_depth);

    /// Errors:    what the backend throws when memory is short
    explicit StepSums(B& backend)
        : backend_(&backend),
          learned_(backend, [](Info const& info) { return info.role != Role::state; }),
          routers_(backend, [](Info const& info) { return info.role == Role::state; }),
          gradients_(backend),
          values_(kLoads + static_cast<std::size_t>(routers_.view().elements)),
          sums_(backend, static_cast<index_t>(values_.size() * sizeof(double))) {
        clear();
    }

    /// All of it becomes zero.
    void clear() {
        backend_->fill_zero(gradients_.data(), gradients_.bytes());
        backend_->fill_zero(sums_.data(), sums_.bytes());
    }

    Weights<M, T, B>& gradients() { return gradients_; }
    StepBuffers<T> buffers() {
        return {reinterpret_cast<T*>(gradients_.data()), gradients_.bytes() / static_cast<index_t>(sizeof(T)),
                at(0), static_cast<index_t>(values_.size())};
    }
    /// What is learned by gradients.
    Segments const& learned() const { return learned_.view(); }
    /// The biases that balance the experts.
    Segments const& routers() const { return routers_.view(); }

    // Where the sums are in the backend's memory.
    double* losses() { return at(0); }  ///< of the main model and of each MTP depth
    double* balance() { return at(kBalance); }
    double* tokens() { return at(kTokens); }
    double* squares() { return at(kSquares); }  ///< of all gradients
    double* loads() { return at(kLoads); }      ///< [routers().elements]

    /// Copies the sums to the host, where `report` reads them: waits for the backend.
    void read() { backend_->copy_to_host(values_.data(), sums_.data(), sums_.bytes()); }

    /// Of the last read().
    StepReport<depth> report() const {
        StepReport<depth> report{.losses = {.main = values_[0], .balance = values_[kBalance]},
                                 .norm = std::sqrt(values_[kSquares]),
                                 .tokens = static_cast<index_t>(values_[kTokens])};
        auto const* value = values_.data();
        for (auto& loss : report.losses.mtp) {
            loss = *++value;
        }
        return report;
    }
    std::span<double const> host_loads() const { return std::span(values_).subspan(kLoads); }

private:
    static constexpr std::size_t kBalance = depth + 1;
    static constexpr std::size_t kTokens = depth + 2;
    static constexpr std::size_t kSquares = depth + 3;
    static constexpr std::size_t kLoads = depth + 4;

    double* at(std::size_t i) { return reinterpret_cast<double*>(sums_.data()) + i; }

    B* backend_;
    SegmentTable<M, T, B> learned_;
    SegmentTable<M, T, B> routers_;
    Weights<M, T, B> gradients_;
    std::vector<double> values_;  // on the host
    Buffer<B> sums_;
};

/// Adds losses and gradients of some micro-batches of the step-th step to `sums`. Each weighs as many targets as it has
/// that are not ignored, so that however they are cut, losses and gradients are means over the targets of the step.
///
/// Weights and activations are of T, gradients of accumulate_t<T>. An exception leaves `sums` half written: clear() it before it is used again.
///
/// Errors:    Error if no target counts or more than the step is said to have; ShapeError if a batch has not the tokens
///            its extents say; Error if an id is outside the vocabulary
template <class M, class T, class B>
void accumulate(B& be, StepSums<M, accumulate_t<T>, B>& sums, Weights<M, T, B> const& weights,
                std::span<Batch const> micro_batches, StepPart const& part, TrainOptions const& options,
                index_t step, Arena<B>& arena) {
    auto const targets = detail::count_targets<M>("training", micro_batches, part.targets);
    auto const random = RandomKey{options.seed}.fork(static_cast<std::uint64_t>(step));
    auto number = static_cast<std::uint64_t>(part.first);
    index_t tokens = 0;
    for (auto const& batch : micro_batches) {
        Pass const pass{.sequences = batch.sequences,
                        .length = batch.length,
                        .loss_scale = detail::loss_share(batch, targets),
                        .balance_alpha = options.balance_alpha,
                        .balance_loss = sums.balance(),
                        .recompute = options.recompute,
                        .embedding_dropout = options.embedding_dropout,
                        .attention_dropout = options.attention_dropout,
                        .residual_dropout = options.residual_dropout,
                        .random = random.fork(number++)};
        auto const scope = arena.scope();
        auto tape = M::template forward<T>(be, pass, weights.view(), batch, arena);
        M::template backward<T>(be, weights.view(), tape, sums.gradients().params(),
                                options.mtp_weight_at(step), sums.losses());
        tokens += pass.rows();
    }
    ops::collect_loads(be, sums.loads(), sums.buffers().gradients, sums.routers());
    ops::add_value(be, sums.tokens(), static_cast<double>(tokens));
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
