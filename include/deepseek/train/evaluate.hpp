// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_EVALUATE_HPP
#define DEEPSEEK_TRAIN_EVALUATE_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/model/weights.hpp>
#include <deepseek/train/loss_share.hpp>
#include <deepseek/train/options.hpp>
#include <deepseek/train/progress.hpp>

#include <array>
#include <cstddef>
#include <span>

namespace deepseek::inline DEEPSEEK_ABI {

/// Losses that are added up in the memory of backend B.
template <std::size_t Depth, class B>
class LossSums {
public:
    explicit LossSums(B& backend)
        : backend_(&backend), sums_(backend, (Depth + 2) * static_cast<index_t>(sizeof(double))) {}

    void clear() { backend_->fill_zero(sums_.data(), sums_.bytes()); }
    double* losses() {
        return reinterpret_cast<double*>(sums_.data());
    }  ///< of the model and of each MTP depth
    double* balance() { return losses() + Depth + 1; }

    /// Waits for the backend.
    Losses<Depth> read() {
        std::array<double, Depth + 2> values{};
        backend_->copy_to_host(values.data(), sums_.data(), sums_.bytes());
        Losses<Depth> losses{.main = values[0], .balance = values[Depth + 1]};
        auto const* value = values.data();
        for (auto& loss : losses.mtp) {
            loss = *++value;
        }
        return losses;
    }

private:
    B* backend_;
    Buffer<B> sums_;
};

/// Mean losses over the targets of all batches, without dropout.
///
/// Errors:    Error if there is no batch, or no target that counts; ShapeError if one has not the tokens its extents
///            say; Error if an id is outside the vocabulary
template <class M, class T, class B>
Losses<static_cast<std::size_t>(M::mtp_depth)> evaluate(
    B& be, LossSums<static_cast<std::size_t>(M::mtp_depth), B>& sums, Weights<M, T, B> const& weights,
    std::span<Batch const> batches, TrainOptions const& options, Arena<B>& arena) {
    auto const targets = detail::count_targets<M>("evaluation", batches);
    sums.clear();
    for (auto const& batch : batches) {
        Pass const pass{.sequences = batch.sequences,
                        .length = batch.length,
                        .loss_scale = detail::loss_share(batch, targets),
                        .balance_alpha = options.balance_alpha,
                        .balance_loss = sums.balance(),
                        .recompute = true};  // nothing to keep for a backward pass
        auto const scope = arena.scope();
        auto tape = M::template forward<T>(be, pass, weights.view(), batch, arena);
        M::template loss<T>(be, weights.view(), tape, sums.losses());
    }
    return sums.read();
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
