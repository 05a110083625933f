// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_CONFIG_HPP
#define DEEPSEEK_FORMAT_CONFIG_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/config_writer.hpp>
#include <deepseek/format/directory_calls.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/json.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/needs_json.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Reading Hugging Face's config.json for DeepSeek-V2 and V3; config_writer.hpp has the values and writes them.

namespace deepseek::inline DEEPSEEK_ABI::format {

namespace detail {

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

// A list of integers from `least` to `most`; nothing if it is none.
inline std::optional<std::vector<index_t>> integers(nlohmann::json const& json, index_t least, index_t most) {
    std::vector<index_t> list;
    auto const take = [&](nlohmann::json const& value) {
        list.push_back(value.is_number_integer() ? value.get<index_t>() : -1);
        return list.back() >= least && list.back() <= most;
    };
    if (!json.is_array()) {
        return take(json) ? std::optional(list) : std::nullopt;
    }
    for (auto const& value : json) {
        if (!take(value)) {
            return std::nullopt;
        }
    }
    return list;
}

inline void read_token_ids(JsonReader& reader, nlohmann::json const& json, HuggingFaceConfig& config) {
    constexpr index_t most = std::numeric_limits<Token>::max();
    if (auto const at = json.find("bos_token_id"); at != json.end() && !at->is_null()) {
        auto const id = integers(*at, 0, most);
        if (id && id->size() == 1) {
            config.bos_token_id = (*id)[0];
        } else {
            reader.complain("bos_token_id", "a token id or null", *at);
        }
    }
    if (auto const at = json.find("eos_token_id"); at != json.end() && !at->is_null()) {
        if (auto const ids = integers(*at, 0, most)) {
            config.eos_token_ids = *ids;
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
        if (auto const extents = integers(*block, 1, index_t{1} << 20U)) {
            quantization.weight_block_size = *extents;
        } else {
            reader.complain(inside + "weight_block_size", "a list of positive integers", *block);
        }
    }
}

// Kimi K2 is DeepSeek-V3 under a model_type of its own; what else goes by that name is not known here.
inline void read_kimi(JsonReader& reader, nlohmann::json const& json, std::string& model_type) {
    nlohmann::json const expected = {"DeepseekV3ForCausalLM"};
    auto const at = json.find("architectures");
    if (at != json.end() && *at == expected) {
        model_type = "deepseek_v3";
    } else {
        reader.complain("architectures", message("in a file of model_type kimi_k2 ", expected.dump()),
                        at == json.end() ? nlohmann::json() : *at);
    }
}

// Values that no DeepSeek model can have, whatever the type of the program's model.
inline void check_config(JsonReader& reader, HuggingFaceConfig const& c) {
    auto const positive = [&](std::string_view key, auto value) {
        reader.require(value > 0, key, "must be positive, found ", value);
    };
    positive("vocab_size", c.vocab_size);
    auto const in_vocabulary = [&](std::string_view key, index_t id) {
        reader.require(id < c.vocab_size, key, "must be below vocab_size, ", c.vocab_size, ", found ", id);
    };
    if (c.bos_token_id) {
        in_vocabulary("bos_token_id", *c.bos_token_id);
    }
    for (auto const id : c.eos_token_ids) {
        in_vocabulary("eos_token_id", id);
    }
    positive("hidden_size", c.hidden_size);
    positive("num_hidden_layers", c.num_hidden_layers);
    positive("num_attention_heads", c.num_attention_heads);
    positive("kv_lora_rank", c.kv_lora_rank);
    positive("qk_nope_head_dim", c.qk_nope_head_dim);
    positive("v_head_dim", c.v_head_dim);
    positive("moe_layer_freq", c.moe_layer_freq);
    positive("rms_norm_eps", c.rms_norm_eps);
    positive("latent_norm_eps", c.latent_norm_eps);
    positive("rope_theta", c.rope_theta);
    positive("max_position_embeddings", c.max_position_embeddings);
    reader.require(c.bos_token_id.value_or(0) < c.vocab_size, "bos_token_id", "must be below vocab_size, ",
                   c.vocab_size, ", found ", c.bos_token_id.value_or(0));
    for (auto const id : c.eos_token_ids) {
        reader.require(id < c.vocab_size, "eos_token_id", "must be below vocab_size, ", c.vocab_size,
                       ", found ", id);
    }
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
    // Their code has one way to score, whatever the file says.
    bool const second = c.model_type == "deepseek_v2";
    if (second || c.model_type == "deepseek_v3") {
        reader.require(c.scoring_func == (second ? "softmax" : "sigmoid"), "scoring_func", c.model_type,
                       second ? " scores by softmax" : " scores by sigmoid", ", found ",
                       in_quotes(c.scoring_func));
    }
    reader.require(!second || c.topk_method != "noaux_tc", "topk_method",
                   "deepseek_v2 has greedy and group_limited_greedy, found noaux_tc");
    if (second && c.topk_method == "greedy") {  // knows no groups
        reader.require(c.num_experts_per_tok <= c.n_routed_experts, "num_experts_per_tok",
                       "must not exceed n_routed_experts, ", c.n_routed_experts, ", found ",
                       c.num_experts_per_tok);
        return;
    }
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
    reader.require(c.n_group == 1 || c.scoring_func == "softmax" || group_size >= 2, "n_group",
                   "sigmoid routing ranks groups by their two best experts, but a group has one");
}

}  // namespace detail

/// Reads the text of a config.json. Unknown keys are ignored. `where` stands for the file in messages. Kimi K2's file is
/// read as the deepseek_v3 it is.
///
/// Keys that are absent have the values of `default_config`, except vocab_size, hidden_size and num_hidden_layers:
/// without these the file describes another kind of model.
///
/// Errors:    FormatError listing every key that is missing, of the wrong type, or impossible
inline HuggingFaceConfig parse_config(std::string_view text, std::string_view where = "config.json") {
    auto const json = parse_json(text, where);
    expects<FormatError>(json.is_object(), where, ": expected a JSON object, found ", json.type_name());
    detail::JsonReader reader;
    HuggingFaceConfig config;
    std::string model_type = config.model_type;
    reader.read(json, {"model_type", {}, true}, model_type);
    if (model_type == "kimi_k2") {
        detail::read_kimi(reader, json, model_type);
    }
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
    if (detail::is_directory(path)) {
        path /= "config.json";
    }
    return parse_config(read_small_file(path), path.native());
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
