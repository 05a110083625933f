// SPDX-License-Identifier: MIT
#include <deepseek/format/save.hpp>

#include "format/small_model.hpp"
#include "support/data.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

namespace ds = deepseek;
namespace format = deepseek::format;
using deepseek_tests::FarMemory;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;
using deepseek_tests::Small;

TEST_CASE(
    "save_model: a tokenizer comes with the configuration beside it, and both stay when it is saved again") {
    FarMemory be;
    ScratchDirectory const scratch;
    ds::Weights<Small, float, FarMemory> const weights(be);
    std::filesystem::create_directory(scratch / "data");
    ds::write_file_atomically(scratch / "data" / "tokenizer.json", "{}");
    ds::write_file_atomically(scratch / "data" / "tokenizer_config.json", "{\"bos_token\": \"<s>\"}");
    auto const model = scratch / "model";
    for (auto const& tokenizer : {scratch / "data" / "tokenizer.json", std::filesystem::path()}) {
        format::save_model<Small, float>(be, model, weights, {.tokenizer = tokenizer});
        CHECK(ds::read_file(model / "tokenizer.json") == "{}");
        CHECK(ds::read_file(model / "tokenizer_config.json") == "{\"bos_token\": \"<s>\"}");
    }
    // Of another tokenizer, which has none: not the one of the tokenizer before.
    ds::write_file_atomically(scratch / "other.json", "{\"a\": 1}");
    format::save_model<Small, float>(be, model, weights, {.tokenizer = scratch / "other.json"});
    CHECK(ds::read_file(model / "tokenizer.json") == "{\"a\": 1}");
    CHECK(mentions(ds::read_file(model / "tokenizer_config.json"), "PreTrainedTokenizerFast"));
    CHECK_FALSE(mentions(ds::read_file(model / "tokenizer_config.json"), "bos_token"));
}

TEST_CASE("save_model: without a tokenizer there are no tokenizer files") {
    FarMemory be;
    ScratchDirectory const scratch;
    ds::Weights<Small, float, FarMemory> const weights(be);
    format::save_model<Small, float>(be, scratch / "model", weights);
    CHECK_FALSE(std::filesystem::exists(scratch / "model" / "tokenizer.json"));
    CHECK_FALSE(std::filesystem::exists(scratch / "model" / "tokenizer_config.json"));
}
