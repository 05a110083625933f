// SPDX-License-Identifier: MIT
#include <deepseek/format/checkpoint.hpp>
#include <deepseek/format/config.hpp>
#include <deepseek/format/huggingface.hpp>
#include <deepseek/model/presets.hpp>

#include "format/small_model.hpp"
#include "support/data.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace ds = deepseek;
namespace format = deepseek::format;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using deepseek_tests::Small;

namespace {

std::string joined(std::vector<std::string> const& lines) {
    std::string text;
    for (auto const& line : lines) {
        text += line + "\n";
    }
    return text;
}

// A model whose routing, shared expert and attention are given.
template <ds::Routing Route, ds::index_t Shared = 10, ds::MLAOptions Attention = ds::MLAOptions{}>
using Routed =
    ds::Model<ds::Vocabulary<40>,
              ds::Blocks<2, ds::MLA<16, 2, 8, 12, 4, 6, 10, Attention>, ds::MoE<4, 2, 5, Shared, Route>>>;
inline constexpr ds::Routing kV2{.scoring = ds::Scoring::softmax, .normalize = false, .bias = false};

template <class M>
std::string extensions_of() {
    std::string keys;
    for (auto const& key : format::extensions(format::config_of<M>())) {
        keys += key + " ";
    }
    return keys;
}

using Dense = ds::Model<ds::Vocabulary<40>, ds::Blocks<2, deepseek_tests::SmallAttention, ds::SwiGLU<24>>>;

}  // namespace

TEST_CASE("config_of: the published models' files describe their presets") {
    auto const folder = deepseek_tests::test_data("model-configs");
    if (!folder) {
        return;
    }
    CHECK(
        joined(format::differences(format::read_config(*folder / "DeepSeek-V3"), format::config_of<ds::V3>()))
            .empty());
    CHECK(
        joined(format::differences(format::read_config(*folder / "DeepSeek-R1"), format::config_of<ds::V3>()))
            .empty());
    CHECK(joined(format::differences(format::read_config(*folder / "Moonlight-16B-A3B"),
                                     format::config_of<ds::Moonlight16B>()))
              .empty());
    CHECK_NOTHROW(
        format::expect_config_of<ds::V3>(format::read_config(*folder / "DeepSeek-V3"), "config.json"));
    auto const error = error_of<ds::FormatError>([&] {
        format::expect_config_of<ds::V3>(format::read_config(*folder / "Moonlight-16B-A3B"), "x/config.json");
    });
    CHECK(mentions(error, "x/config.json: describes another model",
                   "hidden_size: the file says 2048, the model type 7168", "q_lora_rank: the file says 0",
                   "rope_theta: the file says 50000", "rope_scaling: the file says none, the model type yarn",
                   "routed_scaling_factor: the file says 2.446, the model type 2.5"));
}

TEST_CASE("config_of: says every fact of the type") {
    auto const config = format::config_of<Small>();
    CHECK(config.model_type == "deepseek_v3");
    CHECK(config.vocab_size == 40);
    CHECK(config.hidden_size == 16);
    CHECK(config.num_hidden_layers == 3);
    CHECK(config.first_k_dense_replace == 1);
    CHECK(config.intermediate_size == 24);
    CHECK(config.num_attention_heads == 2);
    CHECK(config.kv_lora_rank == 8);
    CHECK(config.q_lora_rank == 12);
    CHECK(config.qk_rope_head_dim == 4);
    CHECK(config.qk_nope_head_dim == 6);
    CHECK(config.v_head_dim == 10);
    CHECK(config.n_routed_experts == 4);
    CHECK(config.num_experts_per_tok == 2);
    CHECK(config.moe_intermediate_size == 5);
    CHECK(config.n_shared_experts == 2);
    CHECK(config.n_group == 2);
    CHECK(config.topk_group == 1);
    CHECK(config.topk_method == "noaux_tc");
    CHECK(config.routed_scaling_factor == 2.446);
    CHECK(config.num_nextn_predict_layers == 1);
    CHECK_FALSE(config.tie_word_embeddings);
}

TEST_CASE("config_of: what is written describes the type it was written for") {
    auto const unchanged = [](format::HuggingFaceConfig const& config) {
        return joined(format::differences(format::parse_config(format::format_config(config)), config));
    };
    CHECK(unchanged(format::config_of<ds::V3>()).empty());
    CHECK(unchanged(format::config_of<ds::V2Lite>()).empty());
    CHECK(unchanged(format::config_of<ds::FromScratch100M>()).empty());
    CHECK(unchanged(format::config_of<Small>()).empty());
    CHECK(unchanged(format::config_of<Dense>()).empty());
    CHECK(format::config_of<ds::V2Lite>().model_type == "deepseek_v2");
    CHECK(format::config_of<ds::V2Lite>().topk_method == "greedy");
    CHECK(format::config_of<ds::FromScratch100M>().n_shared_experts == 2);
}

TEST_CASE("config_of: presets and models of DeepSeek's own kind have no extensions") {
    CHECK(extensions_of<ds::V3>().empty());
    CHECK(extensions_of<ds::V2Lite>().empty());
    CHECK(extensions_of<ds::Moonlight16B>().empty());
    CHECK(extensions_of<ds::FromScratch100M>().empty());
    CHECK(extensions_of<Dense>().empty());
    CHECK(extensions_of<Routed<kV2, 0>>().empty());
    CHECK(extensions_of<Routed<ds::Routing{.bias = false}>>().empty());      // V3 with biases of zero
    CHECK(extensions_of<Routed<ds::Routing{.zero_mask = true}>>().empty());  // one group: nothing to mask
    CHECK(extensions_of<Routed<ds::Routing{}, 10, ds::MLAOptions{.rope = {.interleaved = false}}>>().empty());
}

TEST_CASE(
    "config_of: what Hugging Face's classes would read as another model is written as one they refuse") {
    auto const check = []<class M>(std::type_identity<M>, std::string const& keys) {
        CAPTURE(keys);
        CHECK(extensions_of<M>() == keys);
        auto const config = format::config_of<M>();
        auto const text = format::format_config(config);
        CHECK(mentions(text, R"("model_type": "deepseek_extended")",
                       R"("architectures": ["DeepseekExtendedForCausalLM"])",
                       R"("extensions": [")" + keys.substr(0, keys.find(' '))));
        CHECK(joined(format::differences(format::parse_config(text), config)).empty());
        // Only the type itself is what the file says.
        CHECK_FALSE(
            format::differences(format::parse_config(text), format::config_of<Routed<kV2, 0>>()).empty());
        CHECK_FALSE(
            format::differences(format::parse_config(text), format::config_of<Routed<ds::Routing{}>>())
                .empty());
    };
    constexpr ds::Routing normalised{.scoring = ds::Scoring::softmax, .bias = false};
    constexpr ds::Routing biased{
        .scoring = ds::Scoring::softmax, .groups = 4, .groups_kept = 2, .normalize = false};
    constexpr ds::Routing masked{.groups = 2, .zero_mask = true};
    constexpr ds::MLAOptions half_split{.rope = {.interleaved = false}};
    check(std::type_identity<Routed<normalised>>{}, "norm_topk_prob ");
    check(std::type_identity<Routed<biased>>{}, "topk_method ");
    check(std::type_identity<Routed<kV2, 0, half_split>>{}, "rope_interleave ");
    check(std::type_identity<Routed<masked>>{}, "zero_group_mask ");
    check(std::type_identity<Routed<ds::Routing{}, 7>>{}, "shared_expert_intermediate_size ");
    check(std::type_identity<Routed<ds::Routing{}, 10, ds::MLAOptions{.latent_epsilon = 1e-5}>>{},
          "latent_norm_eps ");
}

TEST_CASE("checkpoint: a model with every extension is saved and read back bit for bit") {
    constexpr ds::Routing all{.scoring = ds::Scoring::softmax, .groups = 2, .zero_mask = true};
    using M = Routed<all, 7, ds::MLAOptions{.rope = {.interleaved = false}, .latent_epsilon = 1e-5}>;
    using W = ds::Weights<M, float, deepseek_tests::FarMemory>;
    CHECK(extensions_of<M>() ==
          "latent_norm_eps shared_expert_intermediate_size zero_group_mask topk_method norm_topk_prob "
          "rope_interleave ");
    deepseek_tests::FarMemory be;
    deepseek_tests::ScratchDirectory const scratch;
    W saved(be);
    deepseek_tests::fill<M, float>(be, saved, 1);
    format::save_model<M, float>(be, scratch / "model", saved);
    W loaded(be);
    format::load_model<M, float>(be, scratch / "model", loaded);
    CHECK(deepseek_tests::bits_of(be, loaded) == deepseek_tests::bits_of(be, saved));
}

TEST_CASE("differences: spellings of the same model are no differences") {
    auto const type = format::config_of<Small>();
    auto file = type;
    file.num_key_value_heads = 0;
    file.num_nextn_predict_layers = 0;
    file.aux_loss_alpha = 0.001;
    file.initializer_range = 0.006;
    file.attention_dropout = 0.1;
    file.max_position_embeddings = 1'000'000;
    file.routed_scaling_factor = static_cast<double>(2.446F);
    file.shared_expert_intermediate_size = 10;
    file.n_shared_experts = 1;
    file.torch_dtype = "bfloat16";
    CHECK(joined(format::differences(file, type)).empty());
    // With every second block sparse only block 2 is, as if there were two dense blocks.
    file.moe_layer_freq = 2;
    CHECK(mentions(joined(format::differences(file, type)),
                   "first_k_dense_replace: the file says 2, the model type 1"));

    auto const dense = format::config_of<Dense>();
    auto without = dense;
    without.n_routed_experts = 0;
    without.first_k_dense_replace = 1;
    without.scoring_func = "softmax";
    CHECK(joined(format::differences(without, dense)).empty());
    CHECK(joined(format::differences(type, dense)).find("n_routed_experts") != std::string::npos);
}

TEST_CASE(
    "load_model: the empty tensors that transformers writes for an absent shared expert are no tensors") {
    using M = Routed<ds::Routing{}, 0>;
    using W = ds::Weights<M, float, deepseek_tests::FarMemory>;
    deepseek_tests::FarMemory be;
    deepseek_tests::ScratchDirectory const scratch;
    W saved(be);
    deepseek_tests::fill<M, float>(be, saved, 1);
    auto tensors = format::output_tensors(be, saved);
    std::string const prefix = "model.layers.0.mlp.shared_experts.";
    for (auto const* name : {"gate_proj.weight", "up_proj.weight"}) {
        tensors.push_back(
            format::output_tensor(prefix + name, format::DType::f32, {0, 16}, std::span<std::byte const>()));
    }
    tensors.push_back(format::output_tensor(prefix + "down_proj.weight", format::DType::f32, {16, 0},
                                            std::span<std::byte const>()));
    format::write_safetensors(scratch / "model.safetensors", tensors);
    W loaded(be);
    auto const report = format::load_model<M, float>(be, scratch / "model.safetensors", loaded);
    CHECK(deepseek_tests::bits_of(be, loaded) == deepseek_tests::bits_of(be, saved));
    CHECK(report.ignored.size() == 3);
}

TEST_CASE("differences: a scale beside normalised softmax gates says nothing") {
    constexpr ds::Routing normalised{.scoring = ds::Scoring::softmax, .bias = false};
    auto const type = format::config_of<Routed<normalised>>();
    auto file = type;
    file.routed_scaling_factor = 7;
    CHECK(joined(format::differences(file, type)).empty());
}

TEST_CASE("differences: a file of absurdly many layers is compared at once") {
    auto const type = format::config_of<Small>();
    auto file = type;
    file.num_hidden_layers = std::numeric_limits<ds::index_t>::max();
    file.moe_layer_freq = 3;
    CHECK(mentions(joined(format::differences(file, type)), "num_hidden_layers", "moe_layer_freq"));
}

TEST_CASE("differences: YaRN blocks are compared by what they do") {
    auto type = format::config_of<ds::V2Lite>();
    auto file = type;
    file.yarn->mscale = 1;
    file.yarn->mscale_all_dim = 1;
    CHECK(mentions(joined(format::differences(file, type)),
                   "rope_scaling.mscale_all_dim: the file says 1, the model type 0.707"));
    file = type;
    file.yarn->attention_factor = 1;  // what 0.707 and 0.707 give
    CHECK(joined(format::differences(file, type)).empty());
    file.yarn->factor = 20;
    CHECK(mentions(joined(format::differences(file, type)),
                   "rope_scaling.factor: the file says 20, the model type 40"));
    auto plain = format::config_of<Small>();
    auto stretched = plain;
    stretched.yarn = format::YarnConfig{};  // a factor of 1 stretches nothing
    CHECK(joined(format::differences(stretched, plain)).empty());
    stretched.yarn->attention_factor = 1;
    CHECK(joined(format::differences(stretched, plain)).empty());
    stretched.yarn->attention_factor = 1.25;  // but it may scale cosine and sine
    CHECK(mentions(joined(format::differences(stretched, plain)), "rope_scaling: the file says yarn"));
    auto other = stretched;
    other.yarn->beta_fast = 7;
    CHECK(joined(format::differences(stretched, other)).empty());
    other.yarn->attention_factor = 1.5;
    CHECK(mentions(joined(format::differences(stretched, other)), "rope_scaling.attention_factor"));
}

TEST_CASE("differences: keys that the code of a model_type does not look at are no differences") {
    auto const second = format::config_of<Routed<kV2>>();
    auto file = second;
    file.norm_topk_prob = true;
    file.rope_interleave = false;
    file.n_group = 4;
    CHECK(joined(format::differences(file, second)).empty());
    file.topk_method = "group_limited_greedy";
    CHECK(mentions(joined(format::differences(file, second)), "n_group: the file says 4, the model type 1"));

    constexpr ds::Routing normalised{.scoring = ds::Scoring::softmax, .bias = false};
    file = second;
    file.norm_topk_prob = true;
    CHECK(mentions(
        joined(format::differences(file, format::config_of<Routed<normalised>>())),
        "norm_topk_prob: the file says deepseek_v2, whose code always takes false, the model type true"));

    // DeepSeek-V3's code has groups, whatever topk_method says.
    auto const third = format::config_of<Routed<ds::Routing{.groups = 2, .bias = false}>>();
    file = third;
    file.topk_method = "greedy";
    CHECK(joined(format::differences(file, third)).empty());
}

TEST_CASE("differences: every key that matters is compared") {
    auto const type = format::config_of<Small>();
    int changed = 0;
    format::HuggingFaceConfig file = type;
    format::detail::visit_config(
        [&](format::detail::JsonField const& field, auto& member, auto const& original) {
            for (auto const* ignored :
                 {"num_key_value_heads", "num_nextn_predict_layers", "aux_loss_alpha", "seq_aux",
                  "max_position_embeddings", "attention_dropout", "initializer_range", "moe_layer_freq",
                  "shared_expert_intermediate_size"}) {
                if (field.key == ignored) {
                    return;
                }
            }
            CAPTURE(field.key);
            using V = std::remove_cvref_t<decltype(member)>;
            if constexpr (std::is_same_v<V, std::string>) {
                member = "other";
            } else if constexpr (std::is_same_v<V, bool>) {
                member = !original;
            } else {
                member = original + 1;
            }
            CHECK_FALSE(format::differences(file, type).empty());
            member = original;
            ++changed;
        },
        file, type);
    CHECK(changed > 20);
    CHECK(file == type);
}
