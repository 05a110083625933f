// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_IO_CONFIG_HPP
#define DEEPSEEK_IO_CONFIG_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/io/file.hpp>
#include <deepseek/io/json.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

// Hugging Face's config.json for DeepSeek-V2 and V3, as plain values.

namespace deepseek::inline DEEPSEEK_ABI::io {

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

/// What config.json says of a model. Members are named as their keys; the values here are the defaults of
/// deepseek_v3. What files spell as null is spelled here as the number it means.
///
/// Source:    Hugging Face transformers, configuration_deepseek_v2.py and configuration_deepseek_v3.py
struct HuggingFaceConfig {
    std::string model_type = "deepseek_v3";  ///< or deepseek_v2
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
    /// Width of the shared expert where it is not a multiple of moe_intermediate_size; 0 where it is. Not a
    /// key of transformers' DeepSeek classes, so such a model cannot be opened there.
    index_t shared_expert_intermediate_size = 0;
    index_t n_group = 8;
    index_t topk_group = 4;
    std::string topk_method = "noaux_tc";  ///< or greedy, group_limited_greedy
    std::string scoring_func = "sigmoid";  ///< or softmax
    bool norm_topk_prob = true;
    double routed_scaling_factor = 2.5;
    index_t first_k_dense_replace = 3;
    index_t moe_layer_freq = 1;
    index_t num_nextn_predict_layers = 0;
    double aux_loss_alpha = 0;
    bool seq_aux = true;
    std::string hidden_act = "silu";
    double rms_norm_eps = 1e-6;
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
    /// Width of the shared expert.
    index_t shared_width() const {
        return shared_expert_intermediate_size > 0 ? shared_expert_intermediate_size
                                                   : n_shared_experts * moe_intermediate_size;
    }

    friend bool operator==(HuggingFaceConfig const&, HuggingFaceConfig const&) = default;
};

/// The values a file of that model_type means where it says nothing.
///
/// Errors:    FormatError if the model_type is not one of the two
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
        expects<FormatError>(model_type == "deepseek_v3",
                             "model_type: expected deepseek_v3 or deepseek_v2, found ",
                             detail::in_quotes(model_type));
    }
    return config;
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
    f(JsonField{"routed_scaling_factor"}, config.routed_scaling_factor...);
    f(JsonField{"num_nextn_predict_layers", 0}, config.num_nextn_predict_layers...);
    f(JsonField{"aux_loss_alpha"}, config.aux_loss_alpha...);
    f(JsonField{"seq_aux"}, config.seq_aux...);
    f(JsonField{"rms_norm_eps"}, config.rms_norm_eps...);
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

// rope_scaling beside rope_theta, or rope_parameters with both.
inline void read_rope(JsonReader& reader, nlohmann::json const& json, HuggingFaceConfig& config) {
    for (std::string const block : {"rope_scaling", "rope_parameters"}) {
        auto const at = json.find(block);
        if (at == json.end() || at->is_null()) {
            continue;
        }
        if (!at->is_object()) {
            reader.complain(block, "an object or null", *at);
            continue;
        }
        reader.read(*at, {"rope_theta"}, config.rope_theta, block + ".");
        std::string kind = "default";
        reader.read(*at, {"type"}, kind, block + ".");
        reader.read(*at, {"rope_type"}, kind, block + ".");
        if (kind == "yarn") {
            config.yarn.emplace();
            visit_yarn(
                [&](JsonField const& field, auto& member) { reader.read(*at, field, member, block + "."); },
                *config.yarn);
        } else {
            reader.require(kind == "default", block, "expected the rope type yarn or default, found ",
                           in_quotes(kind));
        }
    }
}

inline void read_token_ids(JsonReader& reader, nlohmann::json const& json, HuggingFaceConfig& config) {
    auto const is_id = [](nlohmann::json const& value) {
        return value.is_number_unsigned() && value.get<std::uint64_t>() <= std::numeric_limits<Token>::max();
    };
    if (auto const at = json.find("bos_token_id"); at != json.end() && !at->is_null()) {
        if (is_id(*at)) {
            config.bos_token_id = at->get<index_t>();
        } else {
            reader.complain("bos_token_id", "a token id or null", *at);
        }
    }
    if (auto const at = json.find("eos_token_id"); at != json.end() && !at->is_null()) {
        auto const list = at->is_array() ? *at : nlohmann::json::array({*at});
        if (std::all_of(list.begin(), list.end(), is_id)) {
            config.eos_token_ids = list.get<std::vector<index_t>>();
        } else {
            reader.complain("eos_token_id", "a token id, a list of them, or null", *at);
        }
    }
}

inline void read_quantization(JsonReader& reader, nlohmann::json const& json, HuggingFaceConfig& config) {
    auto const at = json.find("quantization_config");
    if (at == json.end() || at->is_null()) {
        return;
    }
    if (!at->is_object()) {
        return reader.complain("quantization_config", "an object or null", *at);
    }
    auto& quantization = config.quantization.emplace();
    std::string const inside = "quantization_config.";
    reader.read(*at, {"quant_method", {}, true}, quantization.quant_method, inside);
    reader.read(*at, {"fmt"}, quantization.fmt, inside);
    reader.read(*at, {"activation_scheme"}, quantization.activation_scheme, inside);
    if (auto const block = at->find("weight_block_size"); block != at->end() && !block->is_null()) {
        if (block->is_array() && std::all_of(block->begin(), block->end(), [](auto const& extent) {
                return extent.is_number_unsigned() && extent.template get<std::uint64_t>() - 1 < 1U << 20U;
            })) {
            quantization.weight_block_size = block->get<std::vector<index_t>>();
        } else {
            reader.complain(inside + "weight_block_size", "a list of positive integers", *block);
        }
    }
}

// Values that no DeepSeek model can have, whatever the type of the program's model.
inline void check_config(JsonReader& reader, HuggingFaceConfig const& c) {
    auto const positive = [&](std::string_view key, auto value) {
        reader.require(value > 0, key, "must be positive, found ", value);
    };
    positive("vocab_size", c.vocab_size);
    positive("hidden_size", c.hidden_size);
    positive("num_hidden_layers", c.num_hidden_layers);
    positive("num_attention_heads", c.num_attention_heads);
    positive("kv_lora_rank", c.kv_lora_rank);
    positive("qk_nope_head_dim", c.qk_nope_head_dim);
    positive("v_head_dim", c.v_head_dim);
    positive("moe_layer_freq", c.moe_layer_freq);
    positive("rms_norm_eps", c.rms_norm_eps);
    positive("rope_theta", c.rope_theta);
    positive("max_position_embeddings", c.max_position_embeddings);
    reader.require(c.qk_rope_head_dim > 0 && c.qk_rope_head_dim % 2 == 0, "qk_rope_head_dim",
                   "must be positive and even, found ", c.qk_rope_head_dim);
    reader.require(c.num_key_value_heads == 0 || c.num_key_value_heads == c.num_attention_heads,
                   "num_key_value_heads", "must equal num_attention_heads, ", c.num_attention_heads,
                   ", found ", c.num_key_value_heads);
    reader.require(c.hidden_act == "silu", "hidden_act", "expected silu, found ", in_quotes(c.hidden_act));
    reader.require(!c.mlp_bias, "mlp_bias", "biases in feed-forward networks are not supported");
    if (c.yarn) {
        positive("rope_scaling.factor", c.yarn->factor);
        positive("rope_scaling.original_max_position_embeddings", c.yarn->original_max_position_embeddings);
        positive("rope_scaling.beta_fast", c.yarn->beta_fast);
        positive("rope_scaling.beta_slow", c.yarn->beta_slow);
    }
    if (c.n_routed_experts == 0 || c.first_k_dense_replace >= c.num_hidden_layers) {
        return;  // the other keys describe nothing
    }
    positive("moe_intermediate_size", c.moe_intermediate_size);
    positive("num_experts_per_tok", c.num_experts_per_tok);
    reader.require(c.scoring_func == "sigmoid" || c.scoring_func == "softmax", "scoring_func",
                   "expected sigmoid or softmax, found ", in_quotes(c.scoring_func));
    reader.require(
        c.topk_method == "noaux_tc" || c.topk_method == "greedy" || c.topk_method == "group_limited_greedy",
        "topk_method", "expected noaux_tc, greedy or group_limited_greedy, found ", in_quotes(c.topk_method));
    if (c.n_group <= 0 || c.n_routed_experts % c.n_group != 0) {
        reader.require(false, "n_group", "must divide n_routed_experts, ", c.n_routed_experts, ", found ",
                       c.n_group);
        return;
    }
    auto const group_size = c.n_routed_experts / c.n_group;
    if (c.topk_group <= 0 || c.topk_group > c.n_group) {
        reader.require(false, "topk_group", "must be from 1 to n_group, ", c.n_group, ", found ",
                       c.topk_group);
        return;
    }
    reader.require(c.num_experts_per_tok <= c.topk_group * group_size, "num_experts_per_tok",
                   "must not exceed the ", c.topk_group * group_size,
                   " experts of the topk_group groups, found ", c.num_experts_per_tok);
    reader.require(c.n_group == 1 || c.topk_method != "noaux_tc" || group_size >= 2, "n_group",
                   "noaux_tc ranks groups by their two best experts, but a group has one");
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

/// Reads the text of a config.json. Unknown keys are ignored. `where` stands for the file in messages.
///
/// Keys that are absent have the values of `default_config`, except vocab_size, hidden_size and
/// num_hidden_layers: without these the file describes another kind of model.
///
/// Errors:    FormatError listing every key that is missing, of the wrong type, or impossible
inline HuggingFaceConfig parse_config(std::string_view text, std::string_view where = "config.json") {
    auto const json = parse_json(text, where);
    expects<FormatError>(json.is_object(), where, ": expected a JSON object, found ", json.type_name());
    detail::JsonReader reader;
    HuggingFaceConfig config;
    std::string model_type = config.model_type;
    reader.read(json, {"model_type", {}, true}, model_type);
    try {
        config = default_config(model_type);
    } catch (FormatError const& error) {
        reader.problems.emplace_back(error.what());
    }
    detail::visit_config(
        [&](detail::JsonField const& field, auto& member) { reader.read(json, field, member); }, config);
    detail::read_rope(reader, json, config);
    detail::read_token_ids(reader, json, config);
    detail::read_quantization(reader, json, config);
    reader.read(json, {"torch_dtype"}, config.torch_dtype);
    reader.read(json, {"dtype"}, config.torch_dtype);
    if (reader.problems.empty()) {
        detail::check_config(reader, config);
    }
    reader.expect_no_problems(message(where, ": not a configuration this library can use"));
    return config;
}

/// Reads a config.json, or the one in a directory.
///
/// Errors:    FileError if it cannot be read; as parse_config
inline HuggingFaceConfig read_config(std::filesystem::path path) {
    if (std::filesystem::is_directory(path)) {
        path /= "config.json";
    }
    return parse_config(read_file(path), path.native());
}

/// The text of a config.json that means `config`, in the spelling that transformers 4 and 5 and other engines
/// read (rope_scaling beside rope_theta).
inline std::string format_config(HuggingFaceConfig const& config) {
    nlohmann::json json;
    json["model_type"] = config.model_type;
    json["architectures"] = {config.model_type == "deepseek_v2" ? "DeepseekV2ForCausalLM"
                                                                : "DeepseekV3ForCausalLM"};
    detail::visit_config(
        [&](detail::JsonField const& field, auto const& member) { json[std::string(field.key)] = member; },
        config);
    json["num_key_value_heads"] = config.num_attention_heads;
    json["use_cache"] = true;
    if (config.q_lora_rank == 0) {
        json["q_lora_rank"] = nullptr;
    }
    if (config.shared_expert_intermediate_size == 0) {
        json.erase("shared_expert_intermediate_size");
    }
    json["rope_scaling"] = nullptr;
    if (config.yarn) {
        auto& block = json["rope_scaling"] = {{"type", "yarn"}};
        detail::visit_yarn(
            [&](detail::JsonField const& field, auto const& member) {
                // Numbers for which 0 means "not given" are left out then.
                if constexpr (std::is_same_v<decltype(member), double const&>) {
                    if (field.null && member == 0) {
                        return;
                    }
                }
                block[std::string(field.key)] = member;
            },
            *config.yarn);
        if (config.yarn->truncate) {
            block.erase("truncate");  // the default, and unknown to older readers
        }
    }
    json["bos_token_id"] = config.bos_token_id ? nlohmann::json(*config.bos_token_id) : nlohmann::json();
    json["eos_token_id"] = config.eos_token_ids.empty()       ? nlohmann::json()
                           : config.eos_token_ids.size() == 1 ? nlohmann::json(config.eos_token_ids[0])
                                                              : nlohmann::json(config.eos_token_ids);
    if (!config.torch_dtype.empty()) {
        json["torch_dtype"] = config.torch_dtype;
    }
    if (config.quantization) {
        json["quantization_config"] = {{"quant_method", config.quantization->quant_method},
                                       {"fmt", config.quantization->fmt},
                                       {"activation_scheme", config.quantization->activation_scheme},
                                       {"weight_block_size", config.quantization->weight_block_size}};
    }
    return json.dump(2) + "\n";
}

}  // namespace deepseek::inline DEEPSEEK_ABI::io

#endif
