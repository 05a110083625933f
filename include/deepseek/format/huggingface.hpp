// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_HUGGINGFACE_HPP
#define DEEPSEEK_FORMAT_HUGGINGFACE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/config_writer.hpp>
#include <deepseek/format/json_writer.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/layers/mla.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/ops/arguments/rope.hpp>
#include <deepseek/ops/arguments/routing.hpp>
#include <deepseek/ops/rotary_table.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

// A model type as a config.json, and a config.json against a model type.

namespace deepseek::inline DEEPSEEK_ABI::format {

namespace detail {

// What a feed-forward layer is, through any number of derivations.
template <index_t Dim, index_t Hidden>
constexpr index_t dense_hidden(deepseek::detail::swiglu_layer<Dim, Hidden> const*) {
    return Hidden;
}
constexpr index_t dense_hidden(void const*) { return 0; }

template <index_t Dim, int Experts, int TopK, index_t Hidden, index_t SharedHidden, Routing Route>
std::true_type is_moe(deepseek::detail::moe_layer<Dim, Experts, TopK, Hidden, SharedHidden, Route> const*);
std::false_type is_moe(void const*);

template <index_t Dim, index_t Heads, index_t KVRank, index_t QRank, index_t RopeDim, index_t NopeDim,
          index_t ValueDim, MLAOptions Options>
std::true_type is_mla(
    deepseek::detail::mla_layer<Dim, Heads, KVRank, QRank, RopeDim, NopeDim, ValueDim, Options> const*);
std::false_type is_mla(void const*);

template <class Block>
using attention_of = typename Block::attention_type;
template <class Block>
using feed_forward_of = typename Block::feed_forward_type;
template <class Block>
inline constexpr bool sparse = decltype(is_moe(static_cast<feed_forward_of<Block>*>(nullptr)))::value;
template <class Block>
inline constexpr index_t dense_width = dense_hidden(static_cast<feed_forward_of<Block>*>(nullptr));

// Whether a config.json can say what M is: blocks of one attention, all MLA; first dense ones of one width, then
// mixtures of experts of one kind.
template <class M>
constexpr bool describable() {
    bool possible = true;
    bool seen_sparse = false;
    index_t width = 0;
    M::Blocks::each([&]<class Block>(std::type_identity<Block>, index_t) {
        possible = possible && decltype(is_mla(static_cast<attention_of<Block>*>(nullptr)))::value &&
                   std::is_same_v<attention_of<Block>, attention_of<typename M::Blocks::Block>>;
        if (sparse<Block>) {
            seen_sparse = true;
        } else {
            possible = possible && !seen_sparse && dense_width<Block> > 0 &&
                       (width == 0 || width == dense_width<Block>);
            width = dense_width<Block>;
        }
    });
    return possible;
}

template <class Attention>
void describe_attention(HuggingFaceConfig& config) {
    constexpr Rope rope = Attention::options.rope;
    config.num_attention_heads = Attention::heads;
    config.num_key_value_heads = Attention::heads;
    config.q_lora_rank = Attention::q_rank;
    config.kv_lora_rank = Attention::kv_rank;
    config.qk_nope_head_dim = Attention::nope_dim;
    config.qk_rope_head_dim = Attention::rope_dim;
    config.v_head_dim = Attention::value_dim;
    config.attention_bias = Attention::options.bias;
    config.latent_norm_eps = Attention::options.latent_epsilon;
    config.rope_theta = rope.theta;
    config.rope_interleave = rope.interleaved;
    if (rope.yarn.factor != 1 || (rope.yarn.attention_factor != 0 && rope.yarn.attention_factor != 1)) {
        config.yarn =
            YarnConfig{.factor = rope.yarn.factor,
                       .original_max_position_embeddings = static_cast<index_t>(rope.yarn.original_length),
                       .beta_fast = rope.yarn.beta_fast,
                       .beta_slow = rope.yarn.beta_slow,
                       .mscale = rope.yarn.mscale,
                       .mscale_all_dim = rope.yarn.mscale_all_dim,
                       .attention_factor = rope.yarn.attention_factor,
                       .truncate = rope.yarn.truncate};
    }
}

template <class Experts>
void describe_experts(HuggingFaceConfig& config) {
    constexpr Routing routing = Experts::routing;
    bool const softmax = routing.scoring == Scoring::softmax;
    config.model_type = softmax ? "deepseek_v2" : "deepseek_v3";
    config.n_routed_experts = Experts::experts;
    config.num_experts_per_tok = Experts::top_k;
    config.moe_intermediate_size = Experts::hidden;
    config.n_shared_experts = Experts::shared_hidden / Experts::hidden;
    if (Experts::shared_hidden % Experts::hidden != 0) {
        config.n_shared_experts = 1;
        config.shared_expert_intermediate_size = Experts::shared_hidden;
    }
    config.n_group = routing.groups;
    config.topk_group = routing.groups_kept;
    config.scoring_func = softmax ? "softmax" : "sigmoid";
    config.topk_method = routing.bias ? "noaux_tc" : routing.groups > 1 ? "group_limited_greedy" : "greedy";
    config.norm_topk_prob = routing.normalize;
    config.zero_group_mask = routing.zero_mask && routing.groups > 1;
    config.routed_scaling_factor = routing.scale;
}

}  // namespace detail

/// The config.json of model type M: that of Hugging Face's classes for DeepSeek-V2 or V3 where these compute M, else one
/// that they refuse (see extensions). Specialise it for models with layers of your own; `get` may then say whatever
/// their readers understand.
template <class M>
struct ConfigOf {
    static HuggingFaceConfig get() {
        static_assert(
            detail::describable<M>(),
            "format::ConfigOf<M>: config.json can only describe blocks of one MLA type, dense SwiGLU "
            "ones first and then MoE ones of one type; specialise format::ConfigOf for other models");
        HuggingFaceConfig config;
        if constexpr (detail::describable<M>()) {  // otherwise the sentence above is the only error
            config.vocab_size = M::vocabulary;
            config.hidden_size = M::width;
            config.num_hidden_layers = M::layers;
            config.num_nextn_predict_layers = M::mtp_depth;
            config.rms_norm_eps = M::options.norm_epsilon;
            config.tie_word_embeddings = M::options.tied_head;
            config.initializer_range = M::options.init_deviation;
            config.max_position_embeddings = M::options.context;
            detail::describe_attention<detail::attention_of<typename M::Blocks::Block>>(config);

            // A model without experts says so by being dense to its end; readers take a number of experts for
            // granted.
            config.first_k_dense_replace = 0;
            M::Blocks::each([&]<class Block>(std::type_identity<Block>, index_t) {
                if constexpr (detail::sparse<Block>) {
                    detail::describe_experts<detail::feed_forward_of<Block>>(config);
                } else {
                    config.intermediate_size = detail::dense_width<Block>;
                    ++config.first_k_dense_replace;
                }
            });
            if (config.first_k_dense_replace == 0) {
                // Of no block, but readers expect one.
                config.intermediate_size = config.moe_intermediate_size;
            }
            if (!extensions(config).empty()) {
                config.model_type = kExtendedModelType;
            }
        }
        return config;
    }
};

/// The config.json of model type M.
template <class M>
HuggingFaceConfig config_of() {
    return ConfigOf<M>::get();
}

namespace detail {

// Equal for configurations that compute the same function with the same tensors: what only concerns training or has
// several spellings is reduced to one value.
inline HuggingFaceConfig canonical(HuggingFaceConfig config) {
    config.num_key_value_heads = 0;
    config.num_nextn_predict_layers = 0;  // the tensors decide
    config.aux_loss_alpha = 0;
    config.seq_aux = true;
    config.max_position_embeddings = 1;
    config.attention_dropout = 0;
    config.initializer_range = 0;
    if (config.model_type == "deepseek_v2") {
        config.rope_interleave = true;  // its code knows nothing else
    }

    if (config.yarn && config.yarn->factor == 1) {  // stretches nothing, but may still scale cosine and sine
        auto const attention_factor = config.yarn->attention_factor;
        config.yarn.reset();
        if (attention_factor != 0 && attention_factor != 1) {
            config.yarn = YarnConfig{.attention_factor = attention_factor};
        }
    }
    if (auto& yarn = config.yarn) {
        bool const both = yarn->mscale != 0 && yarn->mscale_all_dim != 0;
        if (yarn->attention_factor == 0) {
            yarn->attention_factor = both ? ops::yarn_mscale(yarn->factor, yarn->mscale) /
                                                ops::yarn_mscale(yarn->factor, yarn->mscale_all_dim)
                                          : ops::yarn_mscale(yarn->factor, 1);
        }
        yarn->mscale = 0;  // acts through the attention factor alone
    }

    auto const first_sparse = config.first_sparse();
    bool const sparse_to_the_end = config.moe_layer_freq == 1 || first_sparse + 1 >= config.num_hidden_layers;
    if (sparse_to_the_end) {
        config.first_k_dense_replace = first_sparse;
        config.moe_layer_freq = 1;
    }
    if (first_sparse == 0 && sparse_to_the_end) {
        config.intermediate_size = 0;  // no dense block
    }
    if (first_sparse == config.num_hidden_layers) {  // no experts
        HuggingFaceConfig const unused;
        config.n_routed_experts = 0;
        config.num_experts_per_tok = unused.num_experts_per_tok;
        config.moe_intermediate_size = unused.moe_intermediate_size;
        config.n_shared_experts = 0;
        config.shared_expert_intermediate_size = 0;
        config.n_group = config.topk_group = 1;
        config.topk_method = unused.topk_method;
        config.scoring_func = unused.scoring_func;
        config.norm_topk_prob = unused.norm_topk_prob;
        config.zero_group_mask = unused.zero_group_mask;
        config.routed_scaling_factor = unused.routed_scaling_factor;
        return config;
    }
    config.shared_expert_intermediate_size = config.shared_width();
    config.n_shared_experts = 0;
    config.routed_scaling_factor = shortest_double(static_cast<float>(config.routed_scaling_factor));
    // Keys that the code of these models does not look at.
    if (config.model_type == "deepseek_v2") {
        config.norm_topk_prob = false;
        if (config.topk_method == "greedy") {
            config.n_group = 1;
        }
    } else if (config.topk_method == "greedy") {
        config.topk_method = "group_limited_greedy";
    }
    if (config.scoring_func == "softmax" && config.norm_topk_prob) {
        config.routed_scaling_factor = 1;  // either, not both
    }
    if (config.n_group == 1) {
        config.zero_group_mask = false;
        config.topk_group = 1;
        config.topk_method = config.topk_method == "group_limited_greedy" ? "greedy" : config.topk_method;
    }
    return config;
}

inline std::string shown(auto const& value) {
    using V = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<V, bool>) {
        return value ? "true" : "false";
    } else {
        return message(value);
    }
}

}  // namespace detail

/// What a file and a model type disagree on, one line per key: "hidden_size: the file says 4096, the model type 2048".
/// Keys that only concern training (initialisation, dropout, balance loss, declared context) and the number of MTP
/// modules are not compared.
inline std::vector<std::string> differences(HuggingFaceConfig const& file, HuggingFaceConfig const& type) {
    std::vector<std::string> lines;
    auto const add = [&](std::string const& key, std::string const& in_file, std::string const& in_type) {
        lines.push_back(
            message(key, ": the file says ", detail::shortened(in_file), ", the model type ", in_type));
    };
    auto const in_file = detail::canonical(file);
    auto const in_type = detail::canonical(type);
    detail::visit_config(
        [&](detail::JsonField const& field, auto const& a, auto const& b) {
            if (a != b) {
                bool const ignored = file.model_type == "deepseek_v2" &&
                                     (field.key == "norm_topk_prob" || field.key == "rope_interleave");
                // The width of the shared expert is mostly given as a multiple.
                add(field.key == "shared_expert_intermediate_size"
                        ? "n_shared_experts × moe_intermediate_size"
                        : std::string(field.key),
                    ignored ? message("deepseek_v2, whose code always takes ", detail::shown(a))
                            : detail::shown(a),
                    detail::shown(b));
            }
        },
        in_file, in_type);
    if (in_file.yarn.has_value() != in_type.yarn.has_value()) {
        add("rope_scaling", in_file.yarn ? "yarn" : "none", in_type.yarn ? "yarn" : "none");
    } else if (in_file.yarn) {
        detail::visit_yarn(
            [&](detail::JsonField const& field, auto const& a, auto const& b) {
                if (a != b) {
                    add("rope_scaling." + std::string(field.key), detail::shown(a), detail::shown(b));
                }
            },
            *in_file.yarn, *in_type.yarn);
    }
    return lines;
}

/// Refuses a config.json that describes another model than M.
///
/// Errors:    FormatError beginning with `where` and listing every difference between the file and model type M
template <class M>
void expect_config_of(HuggingFaceConfig const& file, std::string_view where) {
    auto const lines = differences(file, config_of<M>());
    if (!lines.empty()) {
        throw FormatError(
            detail::listed(message(where, ": describes another model than the program's"), lines));
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
