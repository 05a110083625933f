// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_PASS_HPP
#define DEEPSEEK_CORE_PASS_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI {

/// What the rows of one forward or backward pass are: `sequences` of `length` consecutive tokens each, one sequence
/// after the other, the first token of each at `position` of its sequence.
struct Pass {
    index_t sequences = 1;
    index_t length = 0;
    index_t position = 0;  ///< 0 in training; the cache's length in generation

    double loss_scale = 1;           ///< of losses and gradients: this batch's share of the step's targets
    double balance_alpha = 0;        ///< weight of the sequence-wise balance loss; V3: 1e-4
    double* balance_loss = nullptr;  ///< in the backend's memory: every mixture of experts adds its own

    /// In the backend's memory, of every row: rows with a negative target take no part in the load of experts and in the
    /// balance loss. Null: all rows do.
    Token const* targets = nullptr;
    /// In the backend's memory, of every sequence: its share in the balance loss. Null: 1 / sequences.
    double const* sequence_weights = nullptr;

    /// In the backend's memory, of every row: the place in its sequence at which its document begins. Attention looks no
    /// further back and positions count from there. Null: every sequence is one document.
    std::int32_t const* document_starts = nullptr;

    bool recompute = false;  ///< blocks keep only their input and run forward again in the backward pass

    double embedding_dropout = 0;  ///< probability of zero; of the embedded tokens
    double attention_dropout = 0;  ///< of attention weights
    double residual_dropout = 0;   ///< of what attention and feed-forward networks add to the residual stream
    RandomKey random{Seed{0}};     ///< of this layer, step and micro-batch; dropout masks are drawn from it

    /// Rows of every activation: tokens of all sequences.
    constexpr index_t rows() const { return sequences * length; }

    /// The same rows with random numbers of their own, for the `use`-th layer of a stack.
    constexpr Pass fork(std::uint64_t use) const {
        auto pass = *this;
        pass.random = random.fork(use);
        return pass;
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
