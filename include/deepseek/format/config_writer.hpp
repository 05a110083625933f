// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_CONFIG_WRITER_HPP
#define DEEPSEEK_FORMAT_CONFIG_WRITER_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/json_writer.hpp>
#include <deepseek/format/messages.hpp>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

// Hugging Face's config.json for DeepSeek-V2 and V3, as plain values.

namespace deepseek::inline DEEPSEEK_ABI::format {

/// YaRN context extension as a file describes it (rope_scaling, or rope_parameters in newer files).
struct YarnConfig {
    double factor = 1;
    index_t original_max_position_embeddings = 4096;
    double beta_fast = 32;
    double beta_slow = 1;
    double mscale = 0;            ///< 0: not given
    double mscale_all_dim = 0;    ///< 0: not given
    double attention_factor = 0;  ///< 0: not given, follows from the two above
    bool truncate = true;         ///< round the bounds of the ramp to whole pairs

    friend bool operator==(YarnConfig const&, YarnConfig const&) = default;
};

/// quantization_config of FP8 files.
struct QuantizationConfig {
    std::string quant_method;
    std::string fmt;
    std::string activation_scheme;
    std::vector<index_t> weight_block_size;

    friend bool operator==(QuantizationConfig const&, QuantizationConfig const&) = default;
};

/// The model_type of configurations with extensions.
inline constexpr char kExtendedModelType[] = "deepseek_extended";

/// What config.json says of a model. Members are named as their keys; the values here are the defaults of
/// deepseek_v3. What files spell as null is spelled here as the number it means.
///
/// Source:    Hugging Face transformers, configuration_deepseek_v2.py and configuration_deepseek_v3.py
struct HuggingFaceConfig {
    std::string model_type = "deepseek_v3";  ///< or deepseek_v2, deepseek_extended
    index_t vocab_size = 129280;
    index_t hidden_size = 7168;
    index_t intermediate_size = 18432;
    index_t moe_intermediate_size = 2048;
    index_t num_hidden_layers = 61;
    index_t num_attention_heads = 128;
    index_t num_key_value_heads = 0;  ///< 0: as many as num_attention_heads, the only other value possible
    index_t q_lora_rank = 1536;       ///< 0: queries are not compressed
    index_t kv_lora_rank = 512;
    index_t qk_nope_head_dim = 128;
    index_t qk_rope_head_dim = 64;
    index_t v_head_dim = 128;
    index_t n_routed_experts = 256;  ///< 0: no mixture of experts anywhere
    index_t num_experts_per_tok = 8;
    index_t n_shared_experts = 1;  ///< the shared expert is so many times as wide as a routed one; 0: none
    /// Width of the shared expert where it is not a multiple of moe_intermediate_size; 0 where it is. This
    /// key and the two ending in _eps and _mask below are no keys of transformers' DeepSeek classes: see extensions.
    index_t shared_expert_intermediate_size = 0;
    index_t n_group = 8;
    index_t topk_group = 4;
    std::string topk_method = "noaux_tc";  ///< or greedy, group_limited_greedy
    std::string scoring_func = "sigmoid";  ///< or softmax
    bool norm_topk_prob = true;
    bool zero_group_mask = false;  ///< Routing::zero_mask
    double routed_scaling_factor = 2.5;
    index_t first_k_dense_replace = 3;
    index_t moe_layer_freq = 1;
    index_t num_nextn_predict_layers = 0;
    double aux_loss_alpha = 0;
    bool seq_aux = true;
    std::string hidden_act = "silu";
    double rms_norm_eps = 1e-6;
    double latent_norm_eps = 1e-6;  ///< of the norms of attention's latents, whatever rms_norm_eps
    double rope_theta = 10000;
    std::optional<YarnConfig> yarn;
    bool rope_interleave = true;
    index_t max_position_embeddings = 4096;
    bool attention_bias = false;
    bool mlp_bias = false;
    double attention_dropout = 0;
    bool tie_word_embeddings = false;
    double initializer_range = 0.02;
    std::optional<index_t> bos_token_id;
    std::vector<index_t> eos_token_ids;  ///< key eos_token_id: a number or a list
    std::string torch_dtype;             ///< also read from dtype; empty: not given
    std::optional<QuantizationConfig> quantization;

    /// Whether block `layer` has experts, by the rule of the published code.
    bool is_sparse(index_t layer) const {
        return n_routed_experts > 0 && layer >= first_k_dense_replace && layer % moe_layer_freq == 0;
    }
    /// The first block with experts; num_hidden_layers if there is none.
    index_t first_sparse() const {
        if (n_routed_experts <= 0 || first_k_dense_replace >= num_hidden_layers) {
            return num_hidden_layers;
        }
        auto const gap = (moe_layer_freq - first_k_dense_replace % moe_layer_freq) % moe_layer_freq;
        return gap < num_hidden_layers - first_k_dense_replace ? first_k_dense_replace + gap
                                                               : num_hidden_layers;
    }
    /// Width of the shared expert.
    ///
    /// Errors:    Error if it overflows
    index_t shared_width() const {
        return shared_expert_intermediate_size > 0 ? shared_expert_intermediate_size
                                                   : checked_mul(n_shared_experts, moe_intermediate_size);
    }

    friend bool operator==(HuggingFaceConfig const&, HuggingFaceConfig const&) = default;
};

/// The values a file of that model_type means where it says nothing.
///
/// deepseek_extended is this library's own: deepseek_v3 with every key taken at its word. See extensions.
///
/// Errors:    FormatError if the model_type is not one of the three
inline HuggingFaceConfig default_config(std::string_view model_type) {
    HuggingFaceConfig config;
    if (model_type == "deepseek_v2") {
        config.model_type = model_type;
        config.vocab_size = 102400;
        config.hidden_size = 4096;
        config.intermediate_size = 11008;
        config.moe_intermediate_size = 1407;
        config.num_hidden_layers = 32;
        config.num_attention_heads = 32;
        config.n_routed_experts = 64;
        config.num_experts_per_tok = 0;
        config.n_shared_experts = 2;
        config.n_group = 1;
        config.topk_group = 1;
        config.topk_method = "greedy";
        config.scoring_func = "softmax";
        config.norm_topk_prob = false;
        config.routed_scaling_factor = 1;
        config.first_k_dense_replace = 0;
        config.max_position_embeddings = 2048;
    } else {
        expects<FormatError>(model_type == "deepseek_v3" || model_type == kExtendedModelType,
                             "model_type: expected deepseek_v3, deepseek_v2, kimi_k2 or ", kExtendedModelType,
                             ", found ", detail::in_quotes(model_type));
        config.model_type = model_type;
    }
    return config;
}

/// The keys of a configuration that Hugging Face's classes do not have or do not look at, and whose values make this
/// another model than those classes would compute from the same file; empty if they would compute this one. Softmax
/// scores mean DeepSeek-V2's class, sigmoid V3's.
///
/// A model with any is written as model_type deepseek_extended, with these keys listed in the file: whoever does not
/// know it refuses the file instead of computing something else from it.
///
/// Source:    Hugging Face transformers, modeling_deepseek_v2.py and modeling_deepseek_v3.py
inline std::vector<std::string> extensions(HuggingFaceConfig const& config) {
    std::vector<std::string> keys;
    auto const add_if = [&](bool condition, char const* key) {
        if (condition) {
            keys.emplace_back(key);
        }
    };
    add_if(config.latent_norm_eps != HuggingFaceConfig{}.latent_norm_eps, "latent_norm_eps");
    if (config.first_sparse() < config.num_hidden_layers) {
        bool const softmax = config.scoring_func == "softmax";
        add_if(config.shared_width() != checked_mul(config.n_shared_experts, config.moe_intermediate_size),
               "shared_expert_intermediate_size");
        add_if(config.zero_group_mask && config.n_group > 1, "zero_group_mask");
        add_if(softmax && config.topk_method == "noaux_tc", "topk_method");
        add_if(softmax && config.norm_topk_prob, "norm_topk_prob");
        add_if(softmax && !config.rope_interleave, "rope_interleave");
    }
    return keys;
}

namespace detail {

// The keys whose values are single numbers, truth values or strings, each with its member of every config.
void visit_config(auto&& f, auto&... config) {
    f(JsonField{"vocab_size", {}, true}, config.vocab_size...);
    f(JsonField{"hidden_size", {}, true}, config.hidden_size...);
    f(JsonField{"num_hidden_layers", {}, true}, config.num_hidden_layers...);
    f(JsonField{"num_attention_heads"}, config.num_attention_heads...);
    f(JsonField{"num_key_value_heads", 0}, config.num_key_value_heads...);
    f(JsonField{"q_lora_rank", 0}, config.q_lora_rank...);
    f(JsonField{"kv_lora_rank"}, config.kv_lora_rank...);
    f(JsonField{"qk_nope_head_dim"}, config.qk_nope_head_dim...);
    f(JsonField{"qk_rope_head_dim"}, config.qk_rope_head_dim...);
    f(JsonField{"v_head_dim"}, config.v_head_dim...);
    f(JsonField{"attention_bias"}, config.attention_bias...);
    f(JsonField{"intermediate_size"}, config.intermediate_size...);
    f(JsonField{"hidden_act"}, config.hidden_act...);
    f(JsonField{"mlp_bias"}, config.mlp_bias...);
    f(JsonField{"first_k_dense_replace"}, config.first_k_dense_replace...);
    f(JsonField{"moe_layer_freq", 1}, config.moe_layer_freq...);
    f(JsonField{"n_routed_experts", 0}, config.n_routed_experts...);
    f(JsonField{"num_experts_per_tok", 0}, config.num_experts_per_tok...);
    f(JsonField{"moe_intermediate_size"}, config.moe_intermediate_size...);
    f(JsonField{"n_shared_experts", 0}, config.n_shared_experts...);
    f(JsonField{"shared_expert_intermediate_size", 0}, config.shared_expert_intermediate_size...);
    f(JsonField{"n_group", 1}, config.n_group...);
    f(JsonField{"topk_group", 1}, config.topk_group...);
    f(JsonField{"topk_method"}, config.topk_method...);
    f(JsonField{"scoring_func"}, config.scoring_func...);
    f(JsonField{"norm_topk_prob"}, config.norm_topk_prob...);
    f(JsonField{"zero_group_mask"}, config.zero_group_mask...);
    f(JsonField{"routed_scaling_factor"}, config.routed_scaling_factor...);
    f(JsonField{"num_nextn_predict_layers", 0}, config.num_nextn_predict_layers...);
    f(JsonField{"aux_loss_alpha"}, config.aux_loss_alpha...);
    f(JsonField{"seq_aux"}, config.seq_aux...);
    f(JsonField{"rms_norm_eps"}, config.rms_norm_eps...);
    f(JsonField{"latent_norm_eps"}, config.latent_norm_eps...);
    f(JsonField{"rope_theta"}, config.rope_theta...);
    f(JsonField{"rope_interleave"}, config.rope_interleave...);
    f(JsonField{"max_position_embeddings"}, config.max_position_embeddings...);
    f(JsonField{"attention_dropout"}, config.attention_dropout...);
    f(JsonField{"tie_word_embeddings"}, config.tie_word_embeddings...);
    f(JsonField{"initializer_range"}, config.initializer_range...);
}

// The keys of the YaRN block.
void visit_yarn(auto&& f, auto&... yarn) {
    f(JsonField{"factor", {}, true}, yarn.factor...);
    f(JsonField{"original_max_position_embeddings", {}, true}, yarn.original_max_position_embeddings...);
    f(JsonField{"beta_fast"}, yarn.beta_fast...);
    f(JsonField{"beta_slow"}, yarn.beta_slow...);
    f(JsonField{"mscale", 0}, yarn.mscale...);
    f(JsonField{"mscale_all_dim", 0}, yarn.mscale_all_dim...);
    f(JsonField{"attention_factor", 0}, yarn.attention_factor...);
    f(JsonField{"truncate"}, yarn.truncate...);
}

// A float as the double with the same shortest decimal form, so that 2.446F is written as 2.446.
inline double shortest_double(float value) {
    char digits[64];
    auto const end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    double result = 0;
    std::from_chars(digits, end, result);
    return result;
}

}  // namespace detail

/// The text of a config.json that means `config`, in the spelling that transformers 4 and 5 and other engines
/// read (rope_scaling beside rope_theta).
inline std::string format_config(HuggingFaceConfig const& config) {
    using detail::json_text;
    HuggingFaceConfig const defaults;
    detail::JsonObject json;
    json.add("architectures", config.model_type == "deepseek_v2"        ? "[\"DeepseekV2ForCausalLM\"]"
                              : config.model_type == kExtendedModelType ? "[\"DeepseekExtendedForCausalLM\"]"
                                                                        : "[\"DeepseekV3ForCausalLM\"]");
    json.add("model_type", json_text(config.model_type));
    if (config.model_type == kExtendedModelType) {
        json.add("extensions", json_text(extensions(config)));
    }
    detail::visit_config(
        [&](detail::JsonField const& field, auto const& member, auto const& value_by_default) {
            bool const own = field.key == "shared_expert_intermediate_size" ||
                             field.key == "zero_group_mask" ||
                             field.key == "latent_norm_eps";  // only where they say something
            if (field.key == "num_key_value_heads") {
                json.add(field.key, json_text(config.num_attention_heads));
            } else if (field.key == "q_lora_rank" && config.q_lora_rank == 0) {
                json.add(field.key, "null");
            } else if (!own || member != value_by_default) {
                json.add(field.key, json_text(member));
            }
        },
        config, defaults);
    detail::JsonObject yarn;
    if (config.yarn) {
        yarn.add("type", "\"yarn\"");
        detail::visit_yarn(
            [&](detail::JsonField const& field, auto const& member) {
                // A factor of 0 was not given; truncate is the default, and unknown to older readers.
                bool const given =
                    field.key == "truncate" ? !config.yarn->truncate : !field.null || member != 0;
                if (given) {
                    yarn.add(field.key, json_text(member));
                }
            },
            *config.yarn);
    }
    json.add("rope_scaling", config.yarn ? yarn.text() : "null");
    json.add("bos_token_id", config.bos_token_id ? json_text(*config.bos_token_id) : "null");
    json.add("eos_token_id", config.eos_token_ids.empty()       ? "null"
                             : config.eos_token_ids.size() == 1 ? json_text(config.eos_token_ids[0])
                                                                : json_text(config.eos_token_ids));
    json.add("use_cache", "true");
    if (!config.torch_dtype.empty()) {
        json.add("torch_dtype", json_text(config.torch_dtype));
    }
    if (config.quantization) {
        detail::JsonObject quantization;
        quantization.add("quant_method", json_text(config.quantization->quant_method));
        quantization.add("fmt", json_text(config.quantization->fmt));
        quantization.add("activation_scheme", json_text(config.quantization->activation_scheme));
        quantization.add("weight_block_size", json_text(config.quantization->weight_block_size));
        json.add("quantization_config", quantization.text());
    }
    return json.text() + "\n";
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
