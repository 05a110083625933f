// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_MODEL_PARTS_HPP
#define DEEPSEEK_FORMAT_MODEL_PARTS_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/config_writer.hpp>
#include <deepseek/format/tensor_loader.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

// The parts of a model of any size, as its config.json and the names of its tensors tell, without its type.

namespace deepseek::inline DEEPSEEK_ABI::format {

enum class ModelPart : std::uint8_t {
    embedding,
    attention,
    dense,
    router,
    experts,
    shared_expert,
    norms,
    head,
    mtp,
    other,  ///< no parameters: router biases, scales of FP8, tables, copies
};
inline constexpr std::size_t kModelParts = 10;

constexpr std::string_view name(ModelPart part) {
    constexpr std::array<std::string_view, kModelParts> names{
        "embedding", "attention", "dense feed-forward", "routers",       "routed experts", "shared experts",
        "norms",     "head",      "MTP modules",        "not parameters"};
    return names[static_cast<std::size_t>(part)];
}

/// Parameters of one part, and how many of them a token passes through.
struct PartCount {
    index_t total = 0;
    index_t active = 0;
};
using PartCounts = std::array<PartCount, kModelParts>;

namespace detail {
inline index_t checked_product(std::initializer_list<index_t> factors) {
    index_t product = 1;
    for (auto const factor : factors) {
        expects<FormatError>(!__builtin_mul_overflow(product, factor, &product) && product < index_t{1} << 56,
                             "config.json: describes a model of more than 2^56 parameters");
    }
    return product;
}
}  // namespace detail

/// What config.json says of every part: as param_count and active_param_count of the model type.
///
/// Errors:    FormatError if there are more than 2^56 parameters
inline PartCounts parameter_counts(HuggingFaceConfig const& c) {
    auto const product = [](auto... factors) { return detail::checked_product({factors...}); };
    for (auto const extent :
         {c.vocab_size, c.hidden_size, c.intermediate_size, c.moe_intermediate_size, c.num_hidden_layers,
          c.num_attention_heads, c.q_lora_rank, c.kv_lora_rank, c.qk_nope_head_dim, c.qk_rope_head_dim,
          c.v_head_dim, c.n_routed_experts, c.num_experts_per_tok, c.n_shared_experts,
          c.shared_expert_intermediate_size, c.num_nextn_predict_layers}) {
        expects<FormatError>(extent < index_t{1} << 31, "config.json: has an extent above 2^31, ", extent);
    }
    auto const query = c.qk_nope_head_dim + c.qk_rope_head_dim;
    auto const latent = c.kv_lora_rank + c.qk_rope_head_dim;
    auto const attention = (c.q_lora_rank > 0 ? product(c.hidden_size, c.q_lora_rank) + c.q_lora_rank +
                                                    product(c.q_lora_rank, c.num_attention_heads, query)
                                              : product(c.hidden_size, c.num_attention_heads, query)) +
                           product(c.hidden_size, latent) + c.kv_lora_rank +
                           product(c.kv_lora_rank, c.num_attention_heads, c.qk_nope_head_dim + c.v_head_dim) +
                           product(c.num_attention_heads, c.v_head_dim, c.hidden_size) +
                           (c.attention_bias ? c.q_lora_rank + latent + c.hidden_size : 0);
    index_t sparse = 0;  // blocks with experts
    if (auto const first = c.first_sparse(); first < c.num_hidden_layers) {
        sparse = (c.num_hidden_layers - first - 1) / c.moe_layer_freq + 1;
    }
    auto const feed_forward = [&](index_t width) { return product(index_t{3}, c.hidden_size, width); };
    auto const expert = feed_forward(c.moe_intermediate_size);

    PartCounts counts;
    auto const set = [&](ModelPart part, index_t each, index_t total, index_t active) {
        counts[static_cast<std::size_t>(part)] = {product(each, total), product(each, active)};
    };
    auto const table = product(c.vocab_size, c.hidden_size);
    auto const layers = c.num_hidden_layers;
    set(ModelPart::embedding, table, 1, 1);
    set(ModelPart::attention, attention, layers, layers);
    set(ModelPart::dense, feed_forward(c.intermediate_size), layers - sparse, layers - sparse);
    set(ModelPart::router, product(c.n_routed_experts, c.hidden_size), sparse, sparse);
    set(ModelPart::experts, expert, product(sparse, c.n_routed_experts),
        product(sparse, c.num_experts_per_tok));
    set(ModelPart::shared_expert, feed_forward(c.shared_width()), sparse, sparse);
    set(ModelPart::norms, c.hidden_size, 2 * layers + 1, 2 * layers + 1);
    set(ModelPart::head, table, c.tie_word_embeddings ? 0 : 1, c.tie_word_embeddings ? 0 : 1);
    // Built like the last block.
    auto const module =
        product(c.hidden_size, 2 * c.hidden_size + 5) + attention +
        (c.is_sparse(layers - 1) ? product(expert, c.n_routed_experts) + feed_forward(c.shared_width()) +
                                       product(c.n_routed_experts, c.hidden_size)
                                 : feed_forward(c.intermediate_size));
    set(ModelPart::mtp, module, c.num_nextn_predict_layers, 0);
    return counts;
}

/// The part that a tensor of a model of so many blocks belongs to, by its name in files.
inline ModelPart part_of(std::string_view tensor, index_t layers) {
    auto const holds = [&](std::string_view text) { return tensor.find(text) != tensor.npos; };
    bool const mtp = detail::layer_of(tensor) >= layers;
    if (tensor.ends_with("_scale_inv") || holds(".e_score_correction_bias") || holds("rotary_emb.") ||
        (mtp && (holds(".embed_tokens.") || holds(".shared_head.head.")))) {
        return ModelPart::other;
    }
    return mtp                         ? ModelPart::mtp
           : holds("embed_tokens.")    ? ModelPart::embedding
           : holds("lm_head.")         ? ModelPart::head
           : holds(".self_attn.")      ? ModelPart::attention
           : holds(".mlp.gate.")       ? ModelPart::router
           : holds(".experts.")        ? ModelPart::experts
           : holds(".shared_experts.") ? ModelPart::shared_expert
           : holds(".mlp.")            ? ModelPart::dense
           : holds("norm.")            ? ModelPart::norms
                                       : ModelPart::other;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
