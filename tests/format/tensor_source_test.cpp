// SPDX-License-Identifier: MIT
#include <deepseek/format/tensor_source.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

namespace fs = std::filesystem;
namespace format = deepseek::format;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;

namespace {

void write_shard(fs::path const& path, std::vector<std::string> const& names) {
    static std::string const letters = "abcdefghijklmnopqrstuvwxyz";
    std::vector<format::OutputTensor> tensors;
    for (auto const& name : names) {
        auto const first = static_cast<std::size_t>(name[0] - 'a');
        tensors.push_back(format::output_tensor(name, format::DType::u8, {1},
                                                std::as_bytes(std::span(letters)).subspan(first, 1)));
    }
    format::write_safetensors(path, tensors);
}

std::string refusal(fs::path const& path) {
    return error_of<deepseek::Error>([&] { format::TensorSource::open(path); });
}

}  // namespace

TEST_CASE("TensorSource: one file, alone or in its directory") {
    ScratchDirectory const scratch;
    write_shard(scratch / "model.safetensors", {"b", "a"});
    for (auto const& path : {scratch.path(), scratch / "model.safetensors"}) {
        auto const source = format::TensorSource::open(path);
        CHECK(source.path().filename() == "model.safetensors");
        REQUIRE(source.entries().size() == 2);
        CHECK(source.entries()[0].tensor->name == "a");
        CHECK(source.find("b")->bytes[0] == std::byte{'b'});
        CHECK(source.find("c") == nullptr);
    }
}

TEST_CASE("TensorSource: several files with an index are one source") {
    ScratchDirectory const scratch;
    write_shard(scratch / "model-00001-of-000002.safetensors", {"d", "a"});
    write_shard(scratch / "model-00002-of-000002.safetensors", {"c", "b", "unlisted"});
    deepseek::write_file_atomically(scratch / "model.safetensors.index.json",
                                    R"({"metadata": {"total_size": 5}, "weight_map": {
        "a": "model-00001-of-000002.safetensors", "b": "model-00002-of-000002.safetensors",
        "c": "model-00002-of-000002.safetensors", "d": "model-00001-of-000002.safetensors"}})");
    auto opened = format::TensorSource::open(scratch.path());
    auto const source = std::move(opened);
    REQUIRE(source.entries().size() == 4);
    for (auto const* name : {"a", "b", "c", "d"}) {
        REQUIRE(source.find(name) != nullptr);
        CHECK(source.find(name)->bytes[0] == std::byte(name[0]));
    }
    CHECK(source.find("unlisted") == nullptr);
    CHECK(mentions(*source.entries()[1].where, "model-00002"));
}

TEST_CASE("TensorSource: an index that lies is refused") {
    ScratchDirectory const scratch;
    auto const index = scratch / "model.safetensors.index.json";
    write_shard(scratch / "model-1.safetensors", {"a"});
    auto const with_map = [&](std::string const& map) {
        deepseek::write_file_atomically(index, R"({"weight_map": )" + map + "}");
        return refusal(scratch.path());
    };
    CHECK(mentions(with_map(R"({"a": "model-1.safetensors", "b": "model-1.safetensors"})"), "index.json",
                   "'b'", "model-1.safetensors"));
    CHECK(mentions(with_map(R"({"a": "model-2.safetensors"})"), "model-2.safetensors", "No such file"));
    CHECK(mentions(with_map(R"({"a": "../model-1.safetensors"})"), "'a' must be the name", "same directory"));
    CHECK(mentions(with_map(R"({"a": "/etc/passwd"})"), "'a' must be the name"));
    CHECK(mentions(with_map(R"({"a": ".safetensors"})"), "'a' must be the name"));
    CHECK(mentions(with_map(R"({"a": 3})"), "'a' must be the name", "3"));
    CHECK(mentions(with_map("[]"), "weight_map"));
    CHECK(mentions(with_map(R"({"a": "model-1.safetensors", "a": "model-1.safetensors"})"), "given twice"));
    deepseek::write_file_atomically(index, "{");
    CHECK(mentions(refusal(scratch.path()), "index.json", "not valid JSON"));
}

TEST_CASE("TensorSource: what is not there is named") {
    ScratchDirectory const scratch;
    CHECK(mentions(refusal(scratch.path()), "holds neither model.safetensors nor"));
    CHECK(mentions(refusal(scratch / "none"), "none", "No such file"));
}
