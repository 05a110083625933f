// SPDX-License-Identifier: MIT
// labels: programs slow
#include <deepseek/format/file.hpp>

#include "program.hpp"

#include <filesystem>
#include <string>

using namespace deepseek_tests;

TEST_CASE("export: what train wrote becomes a GGUF file with its tokenizer, in three types") {
    ScratchDirectory const directory;
    auto const model = directory / "m";
    REQUIRE(run_program(train_command(model, "--steps 1")).status == 0);
    std::uintmax_t last = std::filesystem::file_size(model / "model.safetensors");
    for (std::string const type : {"f32", "bf16", "q8_0"}) {
        auto const file = directory / (type + ".gguf");
        auto const done = run_program("export " + word(model) + " --gguf " + word(file) + " --type " + type);
        REQUIRE_MESSAGE(done.status == 0, done.err);
        CHECK(mentions(done.err, file.native(), " tensors"));
        auto const bytes = deepseek::read_file(file);
        CHECK(bytes.starts_with("GGUF"));
        CHECK(mentions(bytes, "deepseek2.block_count", "blk.0.attn_k_b.weight", "tokenizer.ggml.merges"));
        CHECK(bytes.size() < last);
        last = bytes.size();
    }
    auto const file = directory / "without.gguf";
    REQUIRE(run_program("export " + word(model) + " --no-tokenizer --gguf " + word(file)).status == 0);
    CHECK_FALSE(mentions(deepseek::read_file(file), "tokenizer.ggml.merges"));
}

TEST_CASE("export: what cannot be done is one message, and no file") {
    ScratchDirectory const directory;
    auto const file = directory / "x.gguf";
    auto const refused = [&](std::string const& flags, int status, char const* why) {
        auto const done = run_program("export " + flags);
        CHECK(done.status == status);
        CHECK_MESSAGE(mentions(done.err, why), done.err);
        CHECK_FALSE(std::filesystem::exists(file));
    };
    auto const to = " --gguf " + word(file);
    refused("", 2, "model is required");
    refused(word(directory / "m"), 2, "--gguf is required");
    refused(word(directory / "m") + to + " --type q4_0", 2, "q4_0 not in {f32,bf16,q8_0}");
    refused(word(directory / "m") + to, 1, "no such model directory");
    refused(word(directory.path()) + to, 1, "config.json: cannot open");
    deepseek::write_file_atomically(directory / "config.json",
                                    R"({"model_type": "deepseek_v3", "vocab_size": 9, "hidden_size": 8,
                                        "num_hidden_layers": 5, "attention_bias": true, "n_shared_experts": 0})");
    refused(word(directory.path()) + to, 1, "cannot compute this model:\n  attention_bias");
}
