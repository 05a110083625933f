// SPDX-License-Identifier: MIT
// The numbers that llama.cpp computes from such files are compared in interop/llama_cpp.py.
#include <deepseek/format/config.hpp>
#include <deepseek/format/gguf_model.hpp>
#include <deepseek/format/safetensors_writer.hpp>
#include <deepseek/format/tensor_source.hpp>

#include "support/gguf_metadata.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using namespace deepseek;
using namespace deepseek::format;
using deepseek_tests::GgufValues;
using deepseek_tests::ScratchDirectory;

namespace {

constexpr index_t kWidth = 64;
constexpr index_t kHeads = 2;
constexpr index_t kRank = 32;
constexpr index_t kNope = 16;
constexpr index_t kRope = 8;
constexpr index_t kValue = 24;
constexpr index_t kQRank = 40;
constexpr index_t kExperts = 4;
constexpr index_t kHidden = 32;

HuggingFaceConfig small_config() {
    HuggingFaceConfig c;
    c.vocab_size = 10;
    c.hidden_size = kWidth;
    c.intermediate_size = 96;
    c.moe_intermediate_size = kHidden;
    c.num_hidden_layers = 2;
    c.num_attention_heads = kHeads;
    c.q_lora_rank = kQRank;
    c.kv_lora_rank = kRank;
    c.qk_nope_head_dim = kNope;
    c.qk_rope_head_dim = kRope;
    c.v_head_dim = kValue;
    c.n_routed_experts = kExperts;
    c.num_experts_per_tok = 2;
    c.n_shared_experts = 2;
    c.n_group = c.topk_group = 1;
    c.first_k_dense_replace = 1;
    return c;
}

// The tensors of that model: element i of one is i plus a number of its own, so that every place can be told.
struct Model {
    ScratchDirectory directory;
    std::map<std::string, std::vector<index_t>> shapes;
    std::map<std::string, std::vector<float>> values;
    std::map<std::string, std::vector<std::byte>> float8;  // of these names, instead

    Model() {
        shapes["model.embed_tokens.weight"] = shapes["lm_head.weight"] = {10, kWidth};
        shapes["model.norm.weight"] = {kWidth};
        for (std::string const layer : {"model.layers.0.", "model.layers.1."}) {
            shapes[layer + "input_layernorm.weight"] = {kWidth};
            shapes[layer + "post_attention_layernorm.weight"] = {kWidth};
            shapes[layer + "self_attn.q_a_proj.weight"] = {kQRank, kWidth};
            shapes[layer + "self_attn.q_a_layernorm.weight"] = {kQRank};
            shapes[layer + "self_attn.q_b_proj.weight"] = {kHeads * (kNope + kRope), kQRank};
            shapes[layer + "self_attn.kv_a_proj_with_mqa.weight"] = {kRank + kRope, kWidth};
            shapes[layer + "self_attn.kv_a_layernorm.weight"] = {kRank};
            shapes[layer + "self_attn.kv_b_proj.weight"] = {kHeads * (kNope + kValue), kRank};
            shapes[layer + "self_attn.o_proj.weight"] = {kWidth, kHeads * kValue};
        }
        feed_forward("model.layers.0.mlp.", 96);
        for (index_t e = 0; e < kExperts; ++e) {
            feed_forward(message("model.layers.1.mlp.experts.", e, "."), kHidden);
        }
        feed_forward("model.layers.1.mlp.shared_experts.", 2 * kHidden);
        shapes["model.layers.1.mlp.gate.weight"] = {kExperts, kWidth};
        shapes["model.layers.1.mlp.gate.e_score_correction_bias"] = {kExperts};
        float first = 0;
        for (auto const& [name, shape] : shapes) {
            auto& all = values[name];
            all.resize(static_cast<std::size_t>(shape[0] * (shape.size() > 1 ? shape[1] : 1)));
            for (std::size_t i = 0; i < all.size(); ++i) {
                all[i] = first + static_cast<float>(i);
            }
            first += 10'000;
        }
    }
    void feed_forward(std::string const& prefix, index_t hidden) {
        shapes[prefix + "gate_proj.weight"] = shapes[prefix + "up_proj.weight"] = {hidden, kWidth};
        shapes[prefix + "down_proj.weight"] = {kWidth, hidden};
    }

    TensorSource source() const {
        std::vector<OutputTensor> tensors;
        for (auto const& [name, shape] : shapes) {
            if (auto const at = float8.find(name); at != float8.end()) {
                tensors.push_back(output_tensor(name, DType::f8_e4m3, shape, at->second));
            } else {
                tensors.push_back(
                    output_tensor(name, DType::f32, shape, std::as_bytes(std::span(values.at(name)))));
            }
        }
        write_safetensors(directory / "model.safetensors", tensors);
        return TensorSource::open(directory.path());
    }
};

// Written tensors by name, those of f32 with their elements.
struct Written {
    std::map<std::string, GgufTensor> tensors;
    std::map<std::string, std::vector<float>> values;

    Written(HuggingFaceConfig const& config, TensorSource const& source, GgmlType type = GgmlType::f32) {
        for (auto const& tensor : gguf_tensors(config, source, type)) {
            std::vector<std::byte> bytes;
            tensor.produce([&](std::span<std::byte const> part) {
                bytes.insert(bytes.end(), part.begin(), part.end());
            });
            CHECK_MESSAGE(static_cast<index_t>(bytes.size()) == tensor.bytes(), tensor.name);
            if (tensor.type == GgmlType::f32) {
                auto& all = values[tensor.name];
                all.resize(bytes.size() / sizeof(float));
                std::memcpy(all.data(), bytes.data(), bytes.size());
            }
            tensors.emplace(tensor.name, tensor);
        }
    }
};

std::string text_of(std::vector<std::string> const& lines) {
    std::string text;
    for (auto const& line : lines) {
        text += line + "\n";
    }
    return text;
}

}  // namespace

TEST_CASE("GGUF: a model's tensors have the names and extents of llama.cpp's deepseek2") {
    Model const model;
    auto const source = model.source();
    Written const file(small_config(), source);
    std::map<std::string, std::vector<index_t>> expected{{"token_embd.weight", {kWidth, 10}},
                                                         {"output.weight", {kWidth, 10}},
                                                         {"output_norm.weight", {kWidth}}};
    for (std::string const block : {"blk.0.", "blk.1."}) {
        expected[block + "attn_norm.weight"] = expected[block + "ffn_norm.weight"] = {kWidth};
        expected[block + "attn_q_a.weight"] = {kWidth, kQRank};
        expected[block + "attn_q_a_norm.weight"] = {kQRank};
        expected[block + "attn_q_b.weight"] = {kQRank, kHeads * (kNope + kRope)};
        expected[block + "attn_kv_a_mqa.weight"] = {kWidth, kRank + kRope};
        expected[block + "attn_kv_a_norm.weight"] = {kRank};
        expected[block + "attn_k_b.weight"] = {kNope, kRank, kHeads};
        expected[block + "attn_v_b.weight"] = {kRank, kValue, kHeads};
        expected[block + "attn_output.weight"] = {kHeads * kValue, kWidth};
    }
    expected["blk.0.ffn_gate.weight"] = expected["blk.0.ffn_up.weight"] = {kWidth, 96};
    expected["blk.0.ffn_down.weight"] = {96, kWidth};
    expected["blk.1.ffn_gate_inp.weight"] = {kWidth, kExperts};
    expected["blk.1.exp_probs_b.bias"] = {kExperts};
    expected["blk.1.ffn_gate_exps.weight"] =
        expected["blk.1.ffn_up_exps.weight"] = {kWidth, kHidden, kExperts};
    expected["blk.1.ffn_down_exps.weight"] = {kHidden, kWidth, kExperts};
    expected["blk.1.ffn_gate_shexp.weight"] = expected["blk.1.ffn_up_shexp.weight"] = {kWidth, 2 * kHidden};
    expected["blk.1.ffn_down_shexp.weight"] = {2 * kHidden, kWidth};
    std::map<std::string, std::vector<index_t>> actual;
    for (auto const& [name, tensor] : file.tensors) {
        actual[name] = tensor.extents;
    }
    CHECK(actual == expected);

    CHECK(file.values.at("blk.0.attn_output.weight") ==
          model.values.at("model.layers.0.self_attn.o_proj.weight"));
    CHECK(file.values.at("blk.1.exp_probs_b.bias") ==
          model.values.at("model.layers.1.mlp.gate.e_score_correction_bias"));
    auto tied = small_config();
    tied.tie_word_embeddings = true;
    CHECK(Written(tied, source).tensors.count("output.weight") == 0);
}

TEST_CASE("GGUF: heads' keys are transposed, values follow, experts lie one behind the other") {
    Model const model;
    Written const file(small_config(), model.source());
    auto const& kv = model.values.at("model.layers.1.self_attn.kv_b_proj.weight");
    auto const& keys = file.values.at("blk.1.attn_k_b.weight");
    auto const& values = file.values.at("blk.1.attn_v_b.weight");
    auto const at = [](std::vector<float> const& all, index_t i) { return all[static_cast<std::size_t>(i)]; };
    for (index_t head = 0; head < kHeads; ++head) {
        auto const first = head * (kNope + kValue);
        for (index_t r = 0; r < kRank; ++r) {
            for (index_t i = 0; i < kNope; ++i) {
                CHECK(at(keys, (head * kRank + r) * kNope + i) == at(kv, (first + i) * kRank + r));
            }
            for (index_t i = 0; i < kValue; ++i) {
                CHECK(at(values, (head * kValue + i) * kRank + r) == at(kv, (first + kNope + i) * kRank + r));
            }
        }
    }
    std::vector<float> stacked;
    for (index_t e = 0; e < kExperts; ++e) {
        auto const& one = model.values.at(message("model.layers.1.mlp.experts.", e, ".down_proj.weight"));
        stacked.insert(stacked.end(), one.begin(), one.end());
    }
    CHECK(file.values.at("blk.1.ffn_down_exps.weight") == stacked);
}

TEST_CASE("GGUF: stacked experts and FP8 weights are read as loading reads them") {
    Model const plain;
    Model other;
    std::string const mlp = "model.layers.1.mlp.experts.";
    other.shapes[mlp + "gate_up_proj"] = {kExperts, 2 * kHidden, kWidth};
    other.shapes[mlp + "down_proj"] = {kExperts, kWidth, kHidden};
    for (index_t e = 0; e < kExperts; ++e) {
        for (std::string const part : {"gate", "up", "down"}) {
            auto const name = message(mlp, e, ".", part, "_proj.weight");
            auto const& one = plain.values.at(name);
            auto& all = other.values[mlp + (part == "down" ? "down_proj" : "gate_up_proj")];
            all.insert(all.end(), one.begin(), one.end());
            other.shapes.erase(name);
        }
    }
    std::string const name = "model.layers.0.self_attn.o_proj.weight";
    auto& codes = other.float8[name];
    for (index_t i = 0; i < kWidth * kHeads * kValue; ++i) {
        codes.push_back(static_cast<std::byte>(0x38 + i % 8));  // 1, 1.125, …
    }
    other.shapes[name + "_scale_inv"] = {1, 1};
    other.values[name + "_scale_inv"] = {2.5F};

    auto const source = plain.source();
    auto const stacked = other.source();
    Written const expected(small_config(), source);
    Written const actual(small_config(), stacked);
    for (std::string const part : {"gate", "up", "down"}) {
        auto const tensor = "blk.1.ffn_" + part + "_exps.weight";
        CHECK(actual.values.at(tensor) == expected.values.at(tensor));
    }
    auto const& weights = actual.values.at("blk.0.attn_output.weight");
    for (std::size_t i = 0; i < weights.size(); ++i) {
        CHECK(weights[i] == 2.5F * (1 + static_cast<float>(i % 8) / 8));
    }
}

TEST_CASE("GGUF: rotated halves become neighbouring pairs, in queries and in the shared key") {
    Model const model;
    auto config = small_config();
    config.rope_interleave = false;
    Written const file(config, model.source());
    auto const check = [&](std::string_view to, std::string_view from, index_t heads, index_t height,
                           index_t cols) {
        auto const& before = model.values.at("model.layers.0.self_attn." + std::string(from));
        auto const& after = file.values.at("blk.0." + std::string(to));
        for (index_t row = 0; row < heads * height; ++row) {
            auto const pair = row % height - (height - kRope);
            auto source = row;
            if (pair >= 0) {
                source = row - pair + (pair % 2 == 0 ? pair / 2 : kRope / 2 + pair / 2);
            }
            CHECK(after[static_cast<std::size_t>(row * cols)] ==
                  before[static_cast<std::size_t>(source * cols)]);
        }
    };
    check("attn_q_b.weight", "q_b_proj.weight", kHeads, kNope + kRope, kQRank);
    check("attn_kv_a_mqa.weight", "kv_a_proj_with_mqa.weight", 1, kRank + kRope, kWidth);
}

TEST_CASE("GGUF: vectors and routers stay f32, and rows that are no whole blocks become bf16") {
    Model const model;
    auto const source = model.source();
    Written const file(small_config(), source, GgmlType::q8_0);
    auto const type = [&](std::string const& name) { return file.tensors.at(name).type; };
    CHECK(type("token_embd.weight") == GgmlType::q8_0);
    CHECK(type("blk.1.ffn_down_exps.weight") == GgmlType::q8_0);
    CHECK(type("blk.1.attn_v_b.weight") == GgmlType::q8_0);
    CHECK(type("blk.1.attn_k_b.weight") == GgmlType::bf16);
    CHECK(type("blk.1.attn_q_b.weight") == GgmlType::bf16);
    CHECK(type("blk.1.ffn_gate_inp.weight") == GgmlType::f32);
    CHECK(type("blk.1.exp_probs_b.bias") == GgmlType::f32);
    CHECK(type("blk.1.attn_norm.weight") == GgmlType::f32);
}

TEST_CASE("GGUF: all tensors that do not fit are named, and one that is not finite") {
    Model model;
    model.shapes.erase("model.norm.weight");
    model.shapes["model.layers.0.self_attn.o_proj.weight"] = {kHeads * kValue, kWidth};
    auto const source = model.source();
    CHECK_THROWS_WITH_AS(
        gguf_tensors(small_config(), source, GgmlType::f32),
        doctest::Contains(
            "2 problems:\n  'model.norm.weight': missing, expected [64]\n  "
            "'model.layers.0.self_attn.o_proj.weight': expected shape [64, 48], found [48, 64]"),
        FormatError);
    Model spoiled;
    spoiled.values["lm_head.weight"][70] = std::numeric_limits<float>::quiet_NaN();
    auto const opened = spoiled.source();
    CHECK_THROWS_WITH_AS(Written(small_config(), opened),
                         doctest::Contains("'output.weight': row 1 holds nan, expected finite"), FormatError);
}

TEST_CASE("GGUF: metadata say how to compute") {
    auto c = small_config();
    c.n_group = 2;
    c.topk_group = 1;
    c.yarn = YarnConfig{.factor = 40, .mscale = 1, .mscale_all_dim = 1};  // V3's
    REQUIRE(gguf_obstacles(c).empty());
    GgufMetadata metadata;
    add_model_metadata(metadata, c, "small", GgmlType::q8_0);
    GgufValues const file(metadata);
    CHECK(file.strings.at("general.architecture") == "deepseek2");
    CHECK(file.strings.at("general.name") == "small");
    CHECK(file.strings.at("deepseek2.rope.scaling.type") == "yarn");
    std::map<std::string, double> const expected{{"general.file_type", 7},
                                                 {"general.quantization_version", 2},
                                                 {"deepseek2.vocab_size", 10},
                                                 {"deepseek2.context_length", 4096},
                                                 {"deepseek2.embedding_length", 64},
                                                 {"deepseek2.block_count", 2},
                                                 {"deepseek2.feed_forward_length", 96},
                                                 {"deepseek2.attention.head_count", 2},
                                                 {"deepseek2.attention.head_count_kv", 1},
                                                 {"deepseek2.attention.layer_norm_rms_epsilon", 1e-6F},
                                                 {"deepseek2.attention.q_lora_rank", 40},
                                                 {"deepseek2.attention.kv_lora_rank", 32},
                                                 {"deepseek2.attention.key_length", 40},
                                                 {"deepseek2.attention.value_length", 32},
                                                 {"deepseek2.attention.key_length_mla", 24},
                                                 {"deepseek2.attention.value_length_mla", 24},
                                                 {"deepseek2.rope.dimension_count", 8},
                                                 {"deepseek2.rope.freq_base", 10000},
                                                 {"deepseek2.rope.scaling.factor", 40},
                                                 {"deepseek2.rope.scaling.original_context_length", 4096},
                                                 {"deepseek2.rope.scaling.attn_factor", 1},
                                                 {"deepseek2.rope.scaling.yarn_log_multiplier", 0.1F},
                                                 {"deepseek2.leading_dense_block_count", 1},
                                                 {"deepseek2.expert_count", 4},
                                                 {"deepseek2.expert_used_count", 2},
                                                 {"deepseek2.expert_feed_forward_length", 32},
                                                 {"deepseek2.expert_shared_count", 2},
                                                 {"deepseek2.expert_gating_func", 2},
                                                 {"deepseek2.expert_weights_norm", 1},
                                                 {"deepseek2.expert_weights_scale", 2.5},
                                                 {"deepseek2.expert_group_count", 2},
                                                 {"deepseek2.expert_group_used_count", 1}};
    CHECK(file.numbers == expected);
}

TEST_CASE("GGUF: a model that llama.cpp would compute otherwise is refused, with every reason") {
    auto const refused = [](auto const& change, std::string_view why) {
        auto config = small_config();
        change(config);
        CHECK_MESSAGE(text_of(gguf_obstacles(config)).find(why) != std::string::npos, why);
    };
    CHECK(gguf_obstacles(small_config()).empty());
    using C = HuggingFaceConfig;
    refused([](C& c) { c.attention_bias = true; }, "attention_bias");
    refused([](C& c) { c.v_head_dim = index_t{1} << 40; }, "v_head_dim: extents up to 16777216");
    refused([](C& c) { c.latent_norm_eps = 1e-5; }, "latent_norm_eps");
    refused([](C& c) { c.num_hidden_layers = 27; }, "of a model with 27");
    refused([](C& c) { c.num_hidden_layers = index_t{1} << 62; }, "at most 512");
    refused([](C& c) { c.yarn = YarnConfig{.factor = 0.5}; }, "more than 1, found 0.5");
    refused([](C& c) { c.yarn = YarnConfig{.attention_factor = 1.25}; }, "more than 1, found 1");
    refused([](C& c) { c.yarn = YarnConfig{.factor = 2, .beta_fast = 16}; }, "beta_fast is 32");
    refused([](C& c) { c.yarn = YarnConfig{.factor = 2, .truncate = false}; }, "truncate");
    refused([](C& c) { c.num_hidden_layers = 5, c.moe_layer_freq = 2; }, "block 3");
    refused([](C& c) { c.n_routed_experts = 1025; }, "at most 1024");
    refused([](C& c) { c.n_shared_experts = 0; }, "needs a shared expert");
    refused([](C& c) { c.shared_expert_intermediate_size = 40; },
            "multiple of moe_intermediate_size, 32, found 40");
    refused([](C& c) { c.n_group = 2, c.zero_group_mask = true; }, "zero_group_mask");
    refused([](C& c) { c.n_group = 2, c.scoring_func = "softmax"; }, "topk_method");
    auto both = small_config();
    both.attention_bias = true;
    both.n_shared_experts = 0;
    CHECK(gguf_obstacles(both).size() == 2);
}
