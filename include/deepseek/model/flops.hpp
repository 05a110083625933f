// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_MODEL_FLOPS_HPP
#define DEEPSEEK_MODEL_FLOPS_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/visit.hpp>

#include <type_traits>

// Arithmetic of a model as a fact of its type.

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

// Elements of the matrices of L that one token is multiplied with.
template <class L>
constexpr index_t active_matrix_elements() {
    index_t count = 0;
    described_params<L> params{};
    L::visit(
        [&](Info const& info, auto const& tensor) {
            count += info.role == Role::decayed ? tensor.size / info.parts * info.active : 0;
        },
        params);
    return count;
}

// Multiply-adds of one token of the forward pass in products with weights. The embedding is looked up, not multiplied;
// the head is used once by the main model and once by every MTP depth. The model does not count its MTP modules as
// active, because generation does without them; training uses them.
template <class M>
constexpr index_t multiply_adds_with_weights() {
    constexpr auto table = M::vocabulary * M::width;
    auto count = active_matrix_elements<M>() - (M::options.tied_head ? 0 : table);
    if constexpr (M::mtp_depth > 0) {
        count += M::mtp_depth * (active_matrix_elements<typename M::MtpModule>() + table);
    }
    return count;
}

// Multiply-adds of one token with one key in the attention of all blocks: its score and its share of the values.
template <class M>
constexpr index_t multiply_adds_per_key() {
    index_t count = 0;
    index_t last = 0;
    described_params<M> params{};
    M::Blocks::each(
        [&]<class Block>(std::type_identity<Block>, index_t, auto const&) {
            using Attention = typename Block::attention_type;
            last = Attention::heads * (Attention::qk_dim + Attention::value_dim);
            count += last;
        },
        params.blocks);
    return count + M::mtp_depth * last;  // MTP modules are built like the last block
}

}  // namespace detail

/// Floating-point operations that one training step of model M needs per token, in sequences of `length`: a multiply
/// and an add are two, the backward pass is twice the forward pass, experts count as far as a token uses them, causal
/// attention sees (length + 1) / 2 keys on average. Elementwise work and recomputation do not count: this is what a
/// model FLOPs utilisation (MFU) is measured against.
///
/// Source:    Chowdhery et al. 2022 (PaLM), appendix B, with causal attention counted once
template <class M>
constexpr double train_flops_per_token(index_t length) {
    auto const keys = (static_cast<double>(length) + 1) / 2;
    return 6 * (static_cast<double>(detail::multiply_adds_with_weights<M>()) +
                keys * static_cast<double>(detail::multiply_adds_per_key<M>()));
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
