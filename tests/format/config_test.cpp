// SPDX-License-Identifier: MIT
#include <deepseek/format/config.hpp>

#include "support/data.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace format = deepseek::format;
using deepseek_tests::error_of;
using deepseek_tests::mentions;

namespace {

// A config with the essential keys and `more`.
std::string with(std::string const& more, std::string const& type = "deepseek_v3") {
    return R"({"model_type": ")" + type +
           R"(", "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 4)" +
           (more.empty() ? "" : ", " + more) + "}";
}

std::string refusal(std::string const& text) {
    return error_of<deepseek::FormatError>([&] { format::parse_config(text, "some/config.json"); });
}

}  // namespace

TEST_CASE("config: absent keys have the defaults of deepseek_v3") {
    auto const config = format::parse_config(with(""));
    CHECK(config.vocab_size == 100);
    CHECK(config.num_attention_heads == 128);
    CHECK(config.q_lora_rank == 1536);
    CHECK(config.n_routed_experts == 256);
    CHECK(config.num_experts_per_tok == 8);
    CHECK(config.n_group == 8);
    CHECK(config.topk_group == 4);
    CHECK(config.scoring_func == "sigmoid");
    CHECK(config.topk_method == "noaux_tc");
    CHECK(config.norm_topk_prob);
    CHECK(config.routed_scaling_factor == 2.5);
    CHECK(config.first_k_dense_replace == 3);
    CHECK(config.rope_theta == 10000);
    CHECK(config.rope_interleave);
    CHECK_FALSE(config.yarn);
    CHECK_FALSE(config.tie_word_embeddings);
    CHECK(config.num_nextn_predict_layers == 0);
}

TEST_CASE("config: absent keys have the defaults of deepseek_v2") {
    auto const config = format::parse_config(with(R"("num_experts_per_tok": 6)", "deepseek_v2"));
    CHECK(config.num_attention_heads == 32);
    CHECK(config.n_routed_experts == 64);
    CHECK(config.n_shared_experts == 2);
    CHECK(config.moe_intermediate_size == 1407);
    CHECK(config.n_group == 1);
    CHECK(config.scoring_func == "softmax");
    CHECK(config.topk_method == "greedy");
    CHECK_FALSE(config.norm_topk_prob);
    CHECK(config.routed_scaling_factor == 1);
    CHECK(config.first_k_dense_replace == 0);
    CHECK(config.max_position_embeddings == 2048);
}

TEST_CASE("config: null means what the model code takes it for") {
    auto const config = format::parse_config(
        with(R"("q_lora_rank": null, "num_key_value_heads": null, "n_shared_experts": null, "n_group": null,
                "topk_group": null, "rope_scaling": null, "bos_token_id": null, "eos_token_id": null,
                "num_nextn_predict_layers": null, "quantization_config": null, "moe_layer_freq": null)"));
    CHECK(config.q_lora_rank == 0);
    CHECK(config.num_key_value_heads == 0);
    CHECK(config.n_shared_experts == 0);
    CHECK(config.n_group == 1);
    CHECK(config.topk_group == 1);
    CHECK(config.num_nextn_predict_layers == 0);
    CHECK(config.moe_layer_freq == 1);
    CHECK_FALSE(config.yarn);
    CHECK_FALSE(config.bos_token_id);
    CHECK(config.eos_token_ids.empty());
    CHECK_FALSE(config.quantization);
    CHECK(format::parse_config(with(R"("q_lora_rank": 0)")).q_lora_rank == 0);
    auto const dense = format::parse_config(with(R"("n_routed_experts": null)"));
    CHECK(dense.n_routed_experts == 0);
    CHECK_FALSE(dense.is_sparse(3));
}

TEST_CASE("config: both spellings of the rotary parameters mean the same") {
    auto const expected = format::YarnConfig{.factor = 40,
                                             .original_max_position_embeddings = 4096,
                                             .beta_fast = 32,
                                             .beta_slow = 1,
                                             .mscale = 0.707,
                                             .mscale_all_dim = 0.5};
    auto const old_spelling = format::parse_config(
        with(R"("rope_theta": 50000, "rope_scaling": {"type": "yarn", "factor": 40, "beta_fast": 32,
                                 "beta_slow": 1, "original_max_position_embeddings": 4096, "mscale": 0.707,
                                 "mscale_all_dim": 0.5})"));
    CHECK(old_spelling.rope_theta == 50000);
    REQUIRE(old_spelling.yarn);
    CHECK(*old_spelling.yarn == expected);
    auto const new_spelling = format::parse_config(
        with(R"("rope_parameters": {"rope_type": "yarn", "rope_theta": 50000.0, "factor": 40.0,
                                 "original_max_position_embeddings": 4096, "mscale": 0.707, "mscale_all_dim": 0.5})"));
    CHECK(new_spelling == old_spelling);
    auto const plain =
        format::parse_config(with(R"("rope_parameters": {"rope_type": "default", "rope_theta": 1e6})"));
    CHECK(plain.rope_theta == 1e6);
    CHECK_FALSE(plain.yarn);
}

TEST_CASE("config: which blocks have experts follows first_k_dense_replace and moe_layer_freq") {
    auto config = format::parse_config(with(R"("first_k_dense_replace": 1, "moe_layer_freq": 2)"));
    CHECK_FALSE(config.is_sparse(0));
    CHECK_FALSE(config.is_sparse(1));
    CHECK(config.is_sparse(2));
    CHECK_FALSE(config.is_sparse(3));
    CHECK(config.first_sparse() == 2);
    config.moe_layer_freq = 5;
    CHECK(config.first_sparse() == config.num_hidden_layers);
    CHECK(config.shared_width() == 2048);
    config.shared_expert_intermediate_size = 768;
    CHECK(config.shared_width() == 768);
}

TEST_CASE("config: token ids may be one or several") {
    CHECK(format::parse_config(with(R"("eos_token_id": 7)")).eos_token_ids ==
          std::vector<deepseek::index_t>{7});
    CHECK(format::parse_config(with(R"("eos_token_id": [7, 9], "bos_token_id": 3)")).eos_token_ids.size() ==
          2);
    CHECK(mentions(refusal(with(R"("eos_token_id": [7, "x"])")), "eos_token_id", "a list of them",
                   "[7,\"x\"]"));
    CHECK(mentions(refusal(with(R"("bos_token_id": 4294967296)")), "bos_token_id"));
    CHECK(format::parse_config(with(R"("eos_token_id": 99)")).eos_token_ids.front() == 99);
    CHECK(mentions(refusal(with(R"("eos_token_id": [7, 100], "bos_token_id": 2147483647)")),
                   "eos_token_id: must be below vocab_size, 100, found 100",
                   "bos_token_id: must be below vocab_size, 100, found 2147483647"));
}

TEST_CASE("config: one error lists every key with what was expected and found") {
    auto const error = refusal(R"({"model_type": "deepseek_v3", "vocab_size": "many", "hidden_size": 64.5,
        "norm_topk_prob": 1, "hidden_act": null, "rms_norm_eps": "1e-6", "kv_lora_rank": -1,
        "n_routed_experts": 18446744073709551615, "moe_intermediate_size": null,
        "rope_scaling": {"type": "yarn", "factor": true}, "quantization_config": {"weight_block_size": [0]}})");
    CHECK(mentions(error, "some/config.json", "vocab_size: expected a non-negative integer, found \"many\"",
                   "hidden_size: expected a non-negative integer, found 64.5", "num_hidden_layers: missing",
                   "norm_topk_prob: expected true or false, found 1",
                   "hidden_act: expected a string, found null",
                   "rms_norm_eps: expected a number, found \"1e-6\"", "kv_lora_rank", "n_routed_experts",
                   "moe_intermediate_size: expected a non-negative integer, found null",
                   "rope_scaling.factor: expected a number, found true",
                   "rope_scaling.original_max_position_embeddings: missing",
                   "quantization_config.quant_method: missing", "quantization_config.weight_block_size"));
}

TEST_CASE("config: what is not a DeepSeek model is refused by name") {
    CHECK(mentions(refusal("[]"), "expected a JSON object, found array"));
    CHECK(mentions(refusal("{"), "not valid JSON"));
    CHECK(mentions(refusal(R"({"vocab_size": 1, "vocab_size": 1})"), "'vocab_size' is given twice"));
    CHECK(mentions(refusal("{}"), "model_type: missing", "hidden_size: missing"));
    CHECK(mentions(refusal(with("", "llama")),
                   "expected deepseek_v3, deepseek_v2, kimi_k2 or deepseek_extended", "found 'llama'"));
    CHECK(mentions(refusal(with(R"("rope_scaling": {"type": "linear", "factor": 2})")), "rope_scaling",
                   "'linear'"));
    CHECK(
        mentions(refusal(with(R"("rope_scaling": 3)")), "rope_scaling: expected an object or null, found 3"));
}

TEST_CASE("config: Kimi K2 is read as the DeepSeek-V3 it is") {
    auto const config = format::parse_config(
        with(R"("architectures": ["DeepseekV3ForCausalLM"], "n_group": 1, "topk_group": 1)", "kimi_k2"));
    CHECK(config.model_type == "deepseek_v3");
    CHECK(config.n_group == 1);
    CHECK(config.scoring_func == "sigmoid");
    CHECK(mentions(refusal(with(R"("architectures": ["KimiLinearForCausalLM"])", "kimi_k2")),
                   R"(architectures: expected in a file of model_type kimi_k2 ["DeepseekV3ForCausalLM"])",
                   R"(found ["KimiLinearForCausalLM"])"));
    CHECK(mentions(refusal(with("", "kimi_k2")), "architectures", "found null"));
}

TEST_CASE("config: what a model's code would not look at is refused where it says otherwise") {
    CHECK(mentions(refusal(with(R"("scoring_func": "softmax")")),
                   "scoring_func: deepseek_v3 scores by sigmoid, found 'softmax'"));
    CHECK(mentions(refusal(with(R"("scoring_func": "sigmoid", "num_experts_per_tok": 2)", "deepseek_v2")),
                   "scoring_func: deepseek_v2 scores by softmax, found 'sigmoid'"));
    CHECK(mentions(refusal(with(R"("topk_method": "noaux_tc", "num_experts_per_tok": 2)", "deepseek_v2")),
                   "topk_method", "found noaux_tc"));
    // Groups mean nothing to a greedy choice of deepseek_v2.
    CHECK_NOTHROW(format::parse_config(
        with(R"("n_group": 7, "topk_group": 9, "num_experts_per_tok": 6)", "deepseek_v2")));
    CHECK(mentions(refusal(with(R"("num_experts_per_tok": 65)", "deepseek_v2")),
                   "num_experts_per_tok: must not exceed n_routed_experts, 64, found 65"));
}

TEST_CASE("config: impossible values are refused") {
    CHECK(mentions(refusal(with(R"("hidden_act": "gelu")")), "expected silu, found 'gelu'"));
    CHECK(mentions(refusal(with(R"("num_key_value_heads": 8)")), "num_key_value_heads: must equal", "128",
                   "found 8"));
    CHECK(mentions(refusal(with(R"("qk_rope_head_dim": 63)")), "qk_rope_head_dim", "63"));
    CHECK(mentions(refusal(with(R"("n_group": 7)")), "n_group: must divide", "256", "found 7"));
    CHECK(mentions(refusal(with(R"("topk_group": 9)")), "topk_group", "found 9"));
    CHECK(
        mentions(refusal(with(R"("num_experts_per_tok": 129)")), "num_experts_per_tok", "128", "found 129"));
    CHECK(mentions(refusal(with(R"("n_routed_experts": 8)")), "two best"));
    CHECK(mentions(refusal(with(R"("num_experts_per_tok": null)")), "num_experts_per_tok"));
    CHECK(mentions(refusal(with(R"("scoring_func": "tanh")")), "scoring_func", "'tanh'"));
    CHECK(mentions(refusal(with(R"("topk_method": "best")")), "topk_method", "'best'"));
    CHECK(mentions(refusal(with(R"("num_attention_heads": 0, "rope_theta": 0, "moe_layer_freq": 0)")),
                   "num_attention_heads: must be positive", "rope_theta", "moe_layer_freq"));
    CHECK(mentions(refusal(with(R"("mlp_bias": true)")), "mlp_bias"));
    // Keys of experts mean nothing where no block has experts.
    CHECK_NOTHROW(format::parse_config(with(R"("first_k_dense_replace": 4, "n_group": 7)")));
}

TEST_CASE("config: what is written is read back unchanged") {
    format::HuggingFaceConfig config = format::default_config("deepseek_v2");
    config.vocab_size = 50257;
    config.num_experts_per_tok = 6;
    config.q_lora_rank = 0;
    config.routed_scaling_factor = 2.446;
    config.rms_norm_eps = 1e-5;
    config.rope_interleave = false;
    config.yarn =
        format::YarnConfig{.factor = 40, .mscale = 0.707, .attention_factor = 1.5, .truncate = false};
    config.bos_token_id = 0;
    config.eos_token_ids = {1, 2};
    config.torch_dtype = "bfloat16";
    config.shared_expert_intermediate_size = 768;
    config.tie_word_embeddings = true;
    config.quantization = format::QuantizationConfig{"fp8", "e4m3", "dynamic", {128, 128}};
    config.num_key_value_heads = config.num_attention_heads;  // always written
    auto const text = format::format_config(config);
    CHECK(format::parse_config(text) == config);
    CHECK(mentions(text, R"("rms_norm_eps": 1e-05)", R"("q_lora_rank": null)", "DeepseekV2ForCausalLM",
                   "2.446"));

    format::HuggingFaceConfig plain;
    plain.num_key_value_heads = plain.num_attention_heads;
    auto const plain_text = format::format_config(plain);
    CHECK(format::parse_config(plain_text) == plain);
    CHECK(
        mentions(plain_text, "DeepseekV3ForCausalLM", R"("rope_scaling": null)", R"("eos_token_id": null)"));
    for (auto const* own :
         {"shared_expert_intermediate_size", "zero_group_mask", "latent_norm_eps", "extensions"}) {
        CHECK_FALSE(mentions(plain_text, own));
    }
}

TEST_CASE("config: the published files are understood") {
    auto const folder = deepseek_tests::test_data("model-configs");
    if (!folder) {
        return;
    }
    auto const v3 = format::read_config(*folder / "DeepSeek-V3");
    CHECK(v3.num_hidden_layers == 61);
    CHECK(v3.num_nextn_predict_layers == 1);
    CHECK(v3.torch_dtype == "bfloat16");
    REQUIRE(v3.yarn);
    CHECK(v3.yarn->factor == 40);
    REQUIRE(v3.quantization);
    CHECK(v3.quantization->weight_block_size == std::vector<deepseek::index_t>{128, 128});
    CHECK(format::parse_config(format::format_config(v3)) == v3);

    auto const moonlight = format::read_config(*folder / "Moonlight-16B-A3B" / "config.json");
    CHECK(moonlight.q_lora_rank == 0);
    CHECK(moonlight.routed_scaling_factor == 2.446);
    CHECK(moonlight.aux_loss_alpha == 0.001);
    CHECK_FALSE(moonlight.yarn);
    CHECK(format::parse_config(format::format_config(moonlight)) == moonlight);

    // DeepSeek's own inference code uses other keys.
    CHECK(mentions(error_of<deepseek::FormatError>(
                       [&] { format::read_config(*folder / "native" / "config_671B.json"); }),
                   "config_671B.json", "model_type: missing", "hidden_size: missing"));
}

TEST_CASE("config: a missing file is a file error that names it") {
    deepseek_tests::ScratchDirectory const scratch;
    CHECK(
        mentions(error_of<deepseek::FileError>([&] { format::read_config(scratch.path()); }), "config.json"));
}

TEST_CASE("config: a file that is no configuration is refused, and not waited for") {
    deepseek_tests::ScratchDirectory const scratch;
    auto const path = scratch / "config.json";
    auto const refused = [&] {
        return error_of<deepseek::FileError>([&] { format::read_config(scratch.path()); });
    };
    deepseek::write_file_atomically(path, "{}");
    std::filesystem::resize_file(path, std::uintmax_t{3} << 30);  // sparse
    CHECK(mentions(refused(), "config.json", "has 3221225472 bytes, expected at most"));
    std::filesystem::remove(path);
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    CHECK(mentions(refused(), "config.json", "not a regular file"));
    std::filesystem::remove(path);
    std::filesystem::create_symlink("config.json", path);
    CHECK(mentions(refused(), "config.json", "symbolic links"));
    CHECK(mentions(error_of<deepseek::FileError>([&] { format::read_config(path); }), "symbolic links"));
}

TEST_CASE("config: token ids outside the vocabulary are refused") {
    CHECK(mentions(refusal(with(R"("eos_token_id": 100)")),
                   "eos_token_id: must be below vocab_size, 100, found 100"));
    CHECK(mentions(refusal(with(R"("eos_token_id": [3, 100])")), "eos_token_id: must be below vocab_size"));
    CHECK(mentions(refusal(with(R"("bos_token_id": 2147483647)")), "bos_token_id: must be below vocab_size"));
}

TEST_CASE("config: what the file says is quoted, and shortened") {
    auto const text = refusal(with("\"hidden_act\": \"\\u001b[2J" + std::string(200'000, 'x') + "\""));
    CHECK(mentions(text, "hidden_act: expected silu, found '?[2Jxxx"));
    CHECK(text.size() < 1000);
}
