// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_GGUF_MODEL_HPP
#define DEEPSEEK_FORMAT_GGUF_MODEL_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/config_writer.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/gguf_writer.hpp>
#include <deepseek/format/huggingface.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/model_tensors.hpp>
#include <deepseek/format/stored_tensor.hpp>
#include <deepseek/format/tensor_source.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// A Hugging Face model directory, FP8 and stacked experts included, as llama.cpp's architecture `deepseek2` knows it: names, extents, and the keys that say
// how to compute. No model type is needed: tensors go from file to file.
//
// That architecture computes attention over the latent cache, in the absorbed form: of every head it wants the part of
// kv_b_proj that makes keys, transposed, and the part that makes values, as tensors of their own. Experts are one tensor.

namespace deepseek::inline DEEPSEEK_ABI::format {

namespace detail {

// How much YaRN makes something grow that grows with mscale.
inline double yarn_growth(double factor, double mscale) { return 0.1 * mscale * std::log(factor) + 1; }

inline bool has_experts(HuggingFaceConfig const& c) { return c.first_sparse() < c.num_hidden_layers; }
// Whether groups of experts restrict the choice.
inline bool has_groups(HuggingFaceConfig const& c) { return has_experts(c) && c.topk_group < c.n_group; }

}  // namespace detail

/// Why llama.cpp's deepseek2 would compute something else than the model of a configuration; empty if it would not.
inline std::vector<std::string> gguf_obstacles(HuggingFaceConfig const& config) {
    auto const c = detail::canonical(config);
    std::vector<std::string> reasons;
    auto const refuse_if = [&](bool condition, auto const&... what) {
        if (condition) {
            reasons.push_back(message(what...));
        }
    };
    constexpr index_t most = index_t{1}
                             << 24U;  // products of two extents and a number of experts are then sizes
    for (auto const& [key, extent] : {std::pair("vocab_size", c.vocab_size),
                                      {"hidden_size", c.hidden_size},
                                      {"intermediate_size", config.intermediate_size},
                                      {"moe_intermediate_size", c.moe_intermediate_size},
                                      {"num_attention_heads", c.num_attention_heads},
                                      {"q_lora_rank", c.q_lora_rank},
                                      {"kv_lora_rank", c.kv_lora_rank},
                                      {"qk_nope_head_dim", c.qk_nope_head_dim},
                                      {"qk_rope_head_dim", c.qk_rope_head_dim},
                                      {"v_head_dim", c.v_head_dim},
                                      {"n_shared_experts", c.shared_width()}}) {
        refuse_if(extent > most, key, ": extents up to ", most, " are written, found ", extent);
    }
    refuse_if(c.attention_bias, "attention_bias: it has no biases in attention");
    refuse_if(c.latent_norm_eps != c.rms_norm_eps,
              "latent_norm_eps: it has one epsilon for all norms, rms_norm_eps ", c.rms_norm_eps, ", found ",
              c.latent_norm_eps);
    // It takes models of these depths for DeepSeek-V2-Lite and its like.
    refuse_if(c.q_lora_rank > 0 && (c.num_hidden_layers == 26 || c.num_hidden_layers == 27 ||
                                    (c.num_hidden_layers == 48 && c.vocab_size == 128'256)),
              "num_hidden_layers: of a model with ", c.num_hidden_layers, " it expects uncompressed queries");
    refuse_if(c.num_hidden_layers > 512, "num_hidden_layers: at most 512, found ", c.num_hidden_layers);
    if (c.yarn) {
        refuse_if(c.yarn->factor <= 1, "rope_scaling.factor: more than 1, found ", c.yarn->factor);
        refuse_if(c.yarn->beta_fast != 32 || c.yarn->beta_slow != 1,
                  "rope_scaling: beta_fast is 32 and beta_slow 1 there, found ", c.yarn->beta_fast, " and ",
                  c.yarn->beta_slow);
        refuse_if(!c.yarn->truncate, "rope_scaling.truncate: it rounds the ramp's bounds");
    }
    if (!detail::has_experts(c) || c.num_hidden_layers > 512) {
        return reasons;
    }
    for (auto layer = c.first_sparse(); layer < c.num_hidden_layers; ++layer) {
        if (!c.is_sparse(layer)) {
            reasons.push_back(message("moe_layer_freq: dense blocks must come first, but block ", layer,
                                      " behind one with experts is dense"));
            break;
        }
    }
    refuse_if(c.n_routed_experts > 1024, "n_routed_experts: at most 1024, found ", c.n_routed_experts);
    refuse_if(c.shared_width() == 0, "n_shared_experts: it needs a shared expert");
    refuse_if(c.shared_width() % c.moe_intermediate_size != 0,
              "shared_expert_intermediate_size: must be a multiple of moe_intermediate_size, ",
              c.moe_intermediate_size, ", found ", c.shared_width());
    if (detail::has_groups(c)) {
        refuse_if(c.scoring_func != "sigmoid",
                  "topk_method: it ranks groups by their two best experts, softmax scoring "
                  "by the best");
        refuse_if(c.zero_group_mask,
                  "zero_group_mask: experts of other groups are out of the question there");
        refuse_if(c.n_group >= c.n_routed_experts, "n_group: must be below n_routed_experts");
    }
    return reasons;
}

/// The keys of `general` and of the architecture. A configuration must have no obstacles.
inline void add_model_metadata(GgufMetadata& metadata, HuggingFaceConfig const& config,
                               std::string_view model_name, GgmlType type) {
    auto const c = detail::canonical(config);
    metadata.add_string("general.architecture", "deepseek2");
    metadata.add_string("general.name", model_name);
    metadata.add_u32("general.file_type", type == GgmlType::f32 ? 0 : type == GgmlType::q8_0 ? 7 : 32);
    metadata.add_u32("general.quantization_version", 2);
    auto const u32 = [&](std::string_view key, index_t value) {
        metadata.add_u32(message("deepseek2.", key), value);
    };
    auto const f32 = [&](std::string_view key, double value) {
        metadata.add_f32(message("deepseek2.", key), value);
    };
    u32("vocab_size", c.vocab_size);
    u32("context_length", config.max_position_embeddings);
    u32("embedding_length", c.hidden_size);
    u32("block_count", c.num_hidden_layers);
    u32("feed_forward_length", config.intermediate_size);
    u32("attention.head_count", c.num_attention_heads);
    u32("attention.head_count_kv", 1);  // the latent is the one key and the one value
    f32("attention.layer_norm_rms_epsilon", c.rms_norm_eps);
    u32("attention.q_lora_rank", c.q_lora_rank);
    u32("attention.kv_lora_rank", c.kv_lora_rank);
    u32("attention.key_length", c.kv_lora_rank + c.qk_rope_head_dim);
    u32("attention.value_length", c.kv_lora_rank);
    u32("attention.key_length_mla", c.qk_nope_head_dim + c.qk_rope_head_dim);
    u32("attention.value_length_mla", c.v_head_dim);
    u32("rope.dimension_count", c.qk_rope_head_dim);
    f32("rope.freq_base", c.rope_theta);
    metadata.add_string("deepseek2.rope.scaling.type", c.yarn ? "yarn" : "none");
    if (c.yarn) {
        // Cosine and sine are to grow by `rotation`, scores by the square of `score`. llama.cpp computes with attn_factor
        // a and multiplier L: rotation a, score a · growth(L); without L both are a · growth(1). It wants a tenth of L.
        auto const rotation = c.yarn->attention_factor;
        auto const score = detail::yarn_growth(c.yarn->factor, c.yarn->mscale_all_dim);
        f32("rope.scaling.factor", c.yarn->factor);
        u32("rope.scaling.original_context_length", c.yarn->original_max_position_embeddings);
        if (rotation == score) {
            f32("rope.scaling.attn_factor", rotation / detail::yarn_growth(c.yarn->factor, 1));
        } else {
            f32("rope.scaling.attn_factor", rotation);
            f32("rope.scaling.yarn_log_multiplier", (score / rotation - 1) / std::log(c.yarn->factor));
        }
    }
    bool const experts = detail::has_experts(c);
    u32("leading_dense_block_count", c.first_sparse());
    u32("expert_count", experts ? c.n_routed_experts : 0);
    u32("expert_used_count", experts ? c.num_experts_per_tok : 0);
    u32("expert_feed_forward_length", experts ? c.moe_intermediate_size : config.intermediate_size);
    u32("expert_shared_count", experts ? c.shared_width() / c.moe_intermediate_size : 0);
    if (experts) {
        u32("expert_gating_func", c.scoring_func == "softmax" ? 1 : 2);
        metadata.add_bool("deepseek2.expert_weights_norm", c.norm_topk_prob);
        f32("expert_weights_scale", c.routed_scaling_factor);
    }
    if (detail::has_groups(c)) {
        u32("expert_group_count", c.n_group);
        u32("expert_group_used_count", c.topk_group);
    }
}

namespace detail {

// Rows of a matrix, wherever files have it and as whatever.
class StoredRows {
public:
    explicit StoredRows(StoredTensor const& stored) : stored_(stored) {}

    // As many elements as `out` has, from the beginning of a row on.
    void read(index_t row, std::span<float> out) {
        if (scales_.empty()) {
            scales_ = stored_scales(stored_);
        }
        read_stored<float>(stored_, scales_, row * stored_.cols, out);
    }

private:
    StoredTensor stored_;
    std::vector<float> scales_;  // of FP8; there are none before they are needed
};

// Collects the tensors of a model, and what is wrong with them.
class GgufTensors {
public:
    GgufTensors(HuggingFaceConfig const& config, TensorSource const& source, GgmlType type)
        : config_(config), c_(canonical(config)), source_(&source), type_(type) {
        if (config.quantization && config.quantization->weight_block_size.size() == 2) {
            blocks_ = {config.quantization->weight_block_size[0], config.quantization->weight_block_size[1]};
        }
    }

    std::vector<GgufTensor> build() {
        add("token_embd.weight", "model.embed_tokens.weight", c_.vocab_size, c_.hidden_size);
        add("output_norm.weight", "model.norm.weight", c_.hidden_size);
        if (!c_.tie_word_embeddings) {
            add("output.weight", "lm_head.weight", c_.vocab_size, c_.hidden_size);
        }
        for (index_t i = 0; i < c_.num_hidden_layers; ++i) {
            from_ = message("model.layers.", i, ".");
            to_ = message("blk.", i, ".");
            add_block(i);
        }
        if (!problems_.empty()) {
            throw FormatError(listed(message(source_->path().native(), ": does not fit its config.json, ",
                                             problems_.size(), " problems"),
                                     problems_));
        }
        return std::move(tensors_);
    }

private:
    // One row of a tensor as it is written; may keep what it read.
    using Row = std::function<void(index_t row, std::span<float> values)>;

    void add_block(index_t layer) {
        auto const width = c_.hidden_size;
        auto const heads = c_.num_attention_heads;
        auto const rope = c_.qk_rope_head_dim;
        auto const query = c_.qk_nope_head_dim + rope;
        add("attn_norm.weight", "input_layernorm.weight", width);
        if (c_.q_lora_rank > 0) {
            add("attn_q_a.weight", "self_attn.q_a_proj.weight", c_.q_lora_rank, width);
            add("attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight", c_.q_lora_rank);
            add_rotated("attn_q_b.weight", "self_attn.q_b_proj.weight", heads, query, c_.q_lora_rank);
        } else {
            add_rotated("attn_q.weight", "self_attn.q_proj.weight", heads, query, width);
        }
        add_rotated("attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight", 1, c_.kv_lora_rank + rope,
                    width);
        add("attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight", c_.kv_lora_rank);
        add_keys_and_values();
        add("attn_output.weight", "self_attn.o_proj.weight", width, heads * c_.v_head_dim);
        add("ffn_norm.weight", "post_attention_layernorm.weight", width);
        if (!c_.is_sparse(layer)) {
            add("ffn_gate.weight", "mlp.gate_proj.weight", config_.intermediate_size, width);
            add("ffn_up.weight", "mlp.up_proj.weight", config_.intermediate_size, width);
            add("ffn_down.weight", "mlp.down_proj.weight", width, config_.intermediate_size);
            return;
        }
        auto const hidden = c_.moe_intermediate_size;
        auto const shared = c_.shared_width();
        add("ffn_gate_inp.weight", "mlp.gate.weight", c_.n_routed_experts, width);
        if (c_.topk_method == "noaux_tc" ||
            source_->find(from_ + "mlp.gate.e_score_correction_bias") != nullptr) {
            add("exp_probs_b.bias", "mlp.gate.e_score_correction_bias", c_.n_routed_experts);
        }
        add_experts("ffn_gate_exps.weight", "gate_proj", hidden, width);
        add_experts("ffn_up_exps.weight", "up_proj", hidden, width);
        add_experts("ffn_down_exps.weight", "down_proj", width, hidden);
        add("ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight", shared, width);
        add("ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight", shared, width);
        add("ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight", width, shared);
    }

    // A matrix [rows, cols] as it is; a vector where cols is 1.
    void add(std::string_view to, std::string_view from, index_t rows, index_t cols = 1) {
        auto extents = cols == 1 ? std::vector<index_t>{rows} : std::vector<index_t>{cols, rows};
        emplace(to, std::move(extents),
                [matrix = find(from, rows, cols)](index_t row, std::span<float> out) mutable {
                    matrix.read(row, out);
                });
    }

    // A matrix whose rows are `heads` times `height`, the last of each being rotated: in neighbouring pairs there.
    void add_rotated(std::string_view to, std::string_view from, index_t heads, index_t height,
                     index_t cols) {
        auto const rope = c_.rope_interleave ? 0 : c_.qk_rope_head_dim;  // rows to reorder
        emplace(to, {cols, heads * height},
                [=, matrix = find(from, heads * height, cols)](index_t row, std::span<float> out) mutable {
                    auto const place = row % height - (height - rope);  // among the rotated
                    matrix.read(place < 0 ? row : row - place + place / 2 + place % 2 * (rope / 2), out);
                });
    }

    // Of kv_b_proj every head's keys, transposed, and every head's values.
    void add_keys_and_values() {
        auto const heads = c_.num_attention_heads;
        auto const rank = c_.kv_lora_rank;
        auto const nope = c_.qk_nope_head_dim;
        auto const value = c_.v_head_dim;
        auto const matrix = find("self_attn.kv_b_proj.weight", heads * (nope + value), rank);
        emplace("attn_k_b.weight", {nope, rank, heads},
                [=, matrix = matrix, keys = std::vector<float>()](index_t row, std::span<float> out) mutable {
                    auto const column = row % rank;
                    if (column == 0) {  // of the next head
                        keys.resize(static_cast<std::size_t>(nope * rank));
                        matrix.read(row / rank * (nope + value), keys);
                    }
                    for (std::size_t i = 0; i < out.size(); ++i) {
                        out[i] = keys[i * static_cast<std::size_t>(rank) + static_cast<std::size_t>(column)];
                    }
                });
        emplace("attn_v_b.weight", {rank, value, heads},
                [=, matrix = matrix](index_t row, std::span<float> out) mutable {
                    matrix.read(row / value * (nope + value) + nope + row % value, out);
                });
    }

    // One matrix [rows, cols] of every expert.
    void add_experts(std::string_view to, std::string_view part, index_t rows, index_t cols) {
        std::vector<StoredRows> experts;
        for (index_t e = 0; e < c_.n_routed_experts; ++e) {
            experts.push_back(find(message("mlp.experts.", e, ".", part, ".weight"), rows, cols));
        }
        emplace(to, {cols, rows, c_.n_routed_experts},
                [=, experts = std::move(experts)](index_t row, std::span<float> out) mutable {
                    experts[static_cast<std::size_t>(row / rows)].read(row % rows, out);
                });
    }

    StoredRows find(std::string_view name, index_t rows, index_t cols) {
        ModelTensor const wanted{from_ + std::string(name), DType::f32, false, rows, cols,
                                 c_.n_routed_experts,       nullptr};
        auto const stored = find_stored(*source_, wanted, blocks_);
        if (stored.tensor == nullptr) {
            problems_.push_back(
                message(in_quotes(wanted.name), ": missing, expected ", to_string(wanted.shape())));
        } else {
            auto const misfit = misfits(stored, wanted);
            problems_.insert(problems_.end(), misfit.begin(), misfit.end());
        }
        return StoredRows(stored);
    }

    // Vectors, and the router, whose logits decide, stay as exact as they are. A row that is no whole number of blocks
    // becomes bf16.
    GgmlType type_of(std::string_view name, std::vector<index_t> const& extents) const {
        if (extents.size() == 1 || name == "ffn_gate_inp.weight") {
            return GgmlType::f32;
        }
        return extents[0] % block_size(type_) == 0 ? type_ : GgmlType::bf16;
    }

    void emplace(std::string_view name, std::vector<index_t> extents, Row row) {
        auto const type = type_of(name, extents);
        index_t rows = 1;
        for (std::size_t i = 1; i < extents.size(); ++i) {
            rows *= extents[i];
        }
        auto const width = extents[0];
        auto full = to_ + std::string(name);
        auto produce = [=, row = std::move(row)](ByteSink const& sink) {
            std::vector<float> values(static_cast<std::size_t>(width));
            std::vector<std::byte> bytes(
                static_cast<std::size_t>(width / block_size(type) * block_bytes(type)));
            for (index_t i = 0; i < rows; ++i) {
                row(i, values);
                auto const odd = std::find_if_not(values.begin(), values.end(),
                                                  [](float value) { return std::isfinite(value); });
                expects<FormatError>(odd == values.end(), "GGUF: tensor ", in_quotes(full), ": row ", i,
                                     " holds ", odd == values.end() ? 0 : *odd, ", expected finite numbers");
                encode_ggml(type, values, bytes);
                sink(bytes);
            }
        };
        tensors_.push_back({std::move(full), type, std::move(extents), std::move(produce)});
    }

    HuggingFaceConfig config_;
    HuggingFaceConfig c_;  // canonical
    TensorSource const* source_;
    GgmlType type_;
    Float8Blocks blocks_;
    std::string from_, to_;  // prefixes of names
    std::vector<GgufTensor> tensors_;
    std::vector<std::string> problems_;
};

}  // namespace detail

/// The tensors of a model as deepseek2 wants them: matrices of `type`; vectors and routers of f32. MTP modules are left
/// out. The source must live until they are written.
///
/// Errors:    FormatError listing every tensor that is missing, of another shape, or of a type that cannot be read; while
///            writing, FormatError naming a tensor with an element that is not finite
inline std::vector<GgufTensor> gguf_tensors(HuggingFaceConfig const& config, TensorSource const& source,
                                            GgmlType type) {
    return detail::GgufTensors(config, source, type).build();
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
