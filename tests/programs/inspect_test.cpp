// SPDX-License-Identifier: MIT
// labels: programs slow
#include <deepseek/format/file.hpp>
#include <deepseek/format/safetensors.hpp>
#include <deepseek/format/tensor_source.hpp>

#include "program.hpp"

#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <vector>

using namespace deepseek_tests;
namespace format = deepseek::format;

namespace {

std::filesystem::path trained(ScratchDirectory const& directory) {
    auto const model = directory / "m";
    REQUIRE(run_program(train_command(model, "--steps 1")).status == 0);
    return model;
}

// Rewrites the weights; `change` gets each tensor with its bytes and returns false to drop it.
void rewrite(std::filesystem::path const& model, auto const& change) {
    auto const source = format::TensorSource::open(model);
    std::vector<std::vector<std::byte>> bytes;
    std::vector<format::OutputTensor> output;
    bytes.reserve(source.entries().size());
    for (auto const& entry : source.entries()) {
        auto const& tensor = *entry.tensor;
        auto& copy = bytes.emplace_back(tensor.bytes.begin(), tensor.bytes.end());
        if (change(tensor.name, copy)) {
            output.push_back(format::output_tensor(tensor.name, tensor.dtype, tensor.shape, copy));
        }
    }
    format::write_safetensors(model / "model.safetensors", output);
}

}  // namespace

TEST_CASE("inspect: a directory that train wrote") {
    ScratchDirectory const directory;
    auto const model = trained(directory);
    auto const done = run_program("inspect " + word(model));
    REQUIRE_MESSAGE(done.status == 0, done.err);
    CHECK_MESSAGE(
        mentions(done.out,
                 "model      deepseek_v3, 4 blocks of width 128, vocabulary 1536, context 256, tied head",
                 "experts    8 of width 128, 2 a token, one for all of width 128; sigmoid",
                 "MTP        1 module\n", "embedding                         196,608              196,608",
                 "F32 ", "cache      1,024 bytes per token in float, 512 in bf16",
                 "type       deepseek_add_model(my_model CONFIG ",
                 "programs   generate knows it, as quickstart",
                 "weights    as config.json describes them, all values finite"),
        done.out);
}

TEST_CASE("inspect: values that are not finite are named, unless nobody wants to know") {
    ScratchDirectory const directory;
    auto const model = trained(directory);
    rewrite(model, [](std::string const& name, std::vector<std::byte>& bytes) {
        if (name == "model.layers.2.self_attn.o_proj.weight") {
            auto const nan = std::numeric_limits<float>::quiet_NaN();
            for (std::size_t const element : {7U, 100U}) {
                std::memcpy(bytes.data() + 4 * element, &nan, 4);
            }
        }
        return true;
    });
    auto const found = run_program("inspect " + word(model));
    CHECK(found.status == 1);
    CHECK_MESSAGE(mentions(found.err, "values that are not finite:",
                           "'model.layers.2.self_attn.o_proj.weight': 2 of 16384 elements are not finite"),
                  found.err);
    auto const ignored = run_program("inspect --no-scan " + word(model));
    CHECK(ignored.status == 0);
    CHECK(mentions(ignored.out, "as config.json describes them; values not looked at"));
}

TEST_CASE("inspect: files that are not what config.json describes are told by part") {
    ScratchDirectory const directory;
    auto const model = trained(directory);
    rewrite(model, [](std::string const& name, std::vector<std::byte>&) {
        return name != "model.layers.3.mlp.experts.5.up_proj.weight" && name.find("layers.4.") == name.npos;
    });
    auto const done = run_program("inspect " + word(model));
    CHECK(done.status == 1);
    CHECK_MESSAGE(
        mentions(done.err, "the files do not fit:",
                 "routed experts: config.json describes 1,179,648 parameters, the files hold 1,163,264"),
        done.err);
    CHECK_FALSE(mentions(done.err, "MTP"));  // files may lack all of it
    cut_in_half(model / "model.safetensors");
    auto const cut = run_program("inspect " + word(model));
    CHECK(cut.status == 1);
    CHECK(mentions(cut.err, "model.safetensors"));
}

TEST_CASE("inspect: a model of any sizes, from config.json alone") {
    ScratchDirectory const directory;
    std::filesystem::copy(source_dir() / "tests" / "models" / "deepseek_v3.json", directory / "config.json");
    auto const done = run_program("inspect " + word(directory.path()));
    REQUIRE_MESSAGE(done.status == 0, done.err);
    CHECK_MESSAGE(mentions(done.out, "682,636,472,320       37,552,282,624", "from 4 of 8 groups",
                           "weights    fp8 e4m3, blocks 128 × 128", "type       deepseek::V3,",
                           "-DDEEPSEEK_MODELS=", "weights    none here"),
                  done.out);
}

TEST_CASE("inspect: what is no model directory is one message") {
    ScratchDirectory const directory;
    auto const refused = [](std::string const& flags, int status, char const* why) {
        auto const done = run_program("inspect " + flags);
        CHECK(done.status == status);
        CHECK_MESSAGE(mentions(done.err, why), done.err);
        CHECK(done.out.empty());
    };
    refused("", 2, "model is required");
    refused(word(directory / "none"), 1, "no such model directory");
    refused(word(directory.path()), 1, "config.json");
    deepseek::write_file_atomically(directory / "config.json",
                                    R"({"model_type": "llama", "hidden_size": 8})");
    refused(word(directory.path()), 1, "found 'llama'");
    refused("--scann " + word(directory.path()), 2, "unknown flag --scann");
}
