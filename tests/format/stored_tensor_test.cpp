// SPDX-License-Identifier: MIT
// Directories in which experts are stacked, weights have 8 bits, or both.
#include <deepseek/format/checkpoint.hpp>

#include "format/small_model.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ds = deepseek;
namespace format = deepseek::format;
using deepseek_tests::bits_of;
using deepseek_tests::error_of;
using deepseek_tests::FarMemory;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;
using deepseek_tests::Small;

namespace {

template <class T>
using W = ds::Weights<Small, T, FarMemory>;

// A tensor to write, and what it is to be read as where that is not its bytes.
struct Tensor {
    format::DType dtype = format::DType::f32;
    std::vector<ds::index_t> shape;
    std::vector<std::byte> bytes;
};
using Tensors = std::map<std::string, Tensor>;

Tensors tensors_in(std::filesystem::path const& file) {
    auto const source = format::TensorSource::open(file);
    Tensors tensors;
    for (auto const& entry : source.entries()) {
        auto const& t = *entry.tensor;
        tensors[t.name] = {t.dtype, t.shape, {t.bytes.begin(), t.bytes.end()}};
    }
    return tensors;
}

void write(std::filesystem::path const& file, Tensors const& tensors) {
    std::vector<format::OutputTensor> output;
    for (auto const& [name, tensor] : tensors) {
        output.push_back(format::output_tensor(name, tensor.dtype, tensor.shape, tensor.bytes));
    }
    format::write_safetensors(file, output);
}

// Moves a tensor to the end of a stack.
void append(Tensors& tensors, std::string const& name, std::string const& stack) {
    auto& to = tensors[stack];
    auto const& from = tensors.at(name);
    to.dtype = from.dtype;
    to.bytes.insert(to.bytes.end(), from.bytes.begin(), from.bytes.end());
    tensors.erase(name);
}

// The form in which transformers 5 has the experts of a model like Small. `suffix` is that of their scales, or empty, and
// `extents` those of an expert's gate.
void stack_experts(Tensors& tensors, std::string const& suffix, ds::index_t rows, ds::index_t cols,
                   ds::index_t down_rows, ds::index_t down_cols) {
    for (int layer = 1; layer <= 3; ++layer) {
        auto const experts = "model.layers." + std::to_string(layer) + ".mlp.experts.";
        for (int expert = 0; expert < 4; ++expert) {
            auto const own = experts + std::to_string(expert) + ".";
            append(tensors, own + "gate_proj.weight" + suffix, experts + "gate_up_proj" + suffix);
            append(tensors, own + "up_proj.weight" + suffix, experts + "gate_up_proj" + suffix);
            append(tensors, own + "down_proj.weight" + suffix, experts + "down_proj" + suffix);
        }
        tensors[experts + "gate_up_proj" + suffix].shape = {4, 2 * rows, cols};
        tensors[experts + "down_proj" + suffix].shape = {4, down_rows, down_cols};
    }
}

// Replaces the matrices of blocks, experts among them, by random codes without NaN and random scales of 5 × 3 blocks, and
// says what they mean.
std::map<std::string, std::vector<float>> quantise(Tensors& tensors) {
    std::map<std::string, std::vector<float>> meaning;
    ds::RandomKey const key{ds::Seed{3}};
    std::uint64_t number = 0;
    Tensors scales;
    for (auto& [name, tensor] : tensors) {
        if (tensor.shape.size() != 2 || name.find("layers.") == name.npos ||
            name.find("mlp.gate.") != name.npos || name.find("eh_proj") != name.npos) {
            continue;
        }
        auto const [rows, cols] = std::pair(tensor.shape[0], tensor.shape[1]);
        auto const scale_rows = (rows + 4) / 5;
        auto const scale_cols = (cols + 2) / 3;
        std::vector<float> scale(static_cast<std::size_t>(scale_rows * scale_cols));
        for (auto& value : scale) {
            value = 0.01F * static_cast<float>(key.normal(number++));
        }
        tensor.dtype = format::DType::f8_e4m3;
        tensor.bytes.resize(static_cast<std::size_t>(rows * cols));
        for (ds::index_t i = 0; i < rows * cols; ++i) {
            auto code = static_cast<std::uint8_t>(1000 * std::abs(key.normal(number++)));
            code = static_cast<std::uint8_t>((code & 0x7FU) == 0x7FU ? code - 1 : code);
            tensor.bytes[static_cast<std::size_t>(i)] = std::byte{code};
            meaning[name].push_back(
                format::float8_to_float(code) *
                scale[static_cast<std::size_t>(i / cols / 5 * scale_cols + i % cols / 3)]);
        }
        auto const bytes = std::as_bytes(std::span(scale));
        scales[name + "_scale_inv"] = {
            format::DType::f32, {scale_rows, scale_cols}, {bytes.begin(), bytes.end()}};
    }
    tensors.merge(scales);
    return meaning;
}

// A directory of Small in float with 8-bit weights in blocks of 5 × 3, and what these mean.
std::map<std::string, std::vector<float>> save_float8(FarMemory& be, std::filesystem::path const& directory) {
    W<float> saved(be);
    deepseek_tests::fill<Small, float>(be, saved, 1);
    format::save_model<Small, float>(be, directory, saved);
    auto config = format::read_config(directory);
    config.quantization = format::QuantizationConfig{"fp8", "e4m3", "dynamic", {5, 3}};
    ds::write_file_atomically(directory / "config.json", format::format_config(config));
    auto tensors = tensors_in(directory);
    auto meaning = quantise(tensors);
    write(directory / "model.safetensors", tensors);
    return meaning;
}

template <class T>
void check_meaning(FarMemory& be, W<T> const& weights,
                   std::map<std::string, std::vector<float>> const& meaning) {
    std::size_t found = 0;
    for (auto const& tensor :
         format::detail::model_tensors<Small, T>(weights.data(), "", format::Which::all)) {
        auto const expected = meaning.find(tensor.name);
        if (expected == meaning.end()) {
            continue;
        }
        ++found;
        std::vector<T> values(expected->second.size());
        be.copy_to_host(values.data(), tensor.data, static_cast<ds::index_t>(values.size() * sizeof(T)));
        auto const equal = std::equal(values.begin(), values.end(), expected->second.begin(),
                                      [](T a, float b) { return a == ds::convert<T>(b); });
        CHECK_MESSAGE(equal, tensor.name);
    }
    CHECK(found == meaning.size());
}

}  // namespace

TEST_CASE_TEMPLATE("stored tensors: stacked experts are the model of single ones", T, float, ds::bf16) {
    FarMemory be;
    ScratchDirectory const scratch;
    W<T> saved(be);
    deepseek_tests::fill<Small, T>(be, saved, 1);
    format::save_model<Small, T>(be, scratch / "m", saved);
    auto tensors = tensors_in(scratch / "m");
    stack_experts(tensors, "", 5, 16, 16, 5);
    write(scratch / "m" / "model.safetensors", tensors);
    W<T> loaded(be);
    auto const report = format::load_model<Small, T>(be, scratch / "m", loaded);
    CHECK(bits_of(be, loaded) == bits_of(be, saved));
    CHECK(report.ignored.empty());
    CHECK(report.missing_mtp.empty());
}

TEST_CASE("stored tensors: a stack of another shape is named once") {
    FarMemory be;
    ScratchDirectory const scratch;
    W<float> weights(be);
    format::save_model<Small, float>(be, scratch / "m", weights);
    auto tensors = tensors_in(scratch / "m");
    stack_experts(tensors, "", 5, 16, 16, 5);
    tensors["model.layers.1.mlp.experts.gate_up_proj"].shape = {2, 20, 16};
    tensors["model.layers.2.mlp.experts.down_proj"].shape = {4, 5, 16};
    write(scratch / "m" / "model.safetensors", tensors);
    auto const error =
        error_of<ds::FormatError>([&] { format::load_model<Small, float>(be, scratch / "m", weights); });
    CHECK(mentions(error, "2 problems",
                   "'model.layers.1.mlp.experts.gate_up_proj': expected shape [4, 10, 16], found [2, 20, 16]",
                   "'model.layers.2.mlp.experts.down_proj': expected shape [4, 16, 5], found [4, 5, 16]"));
}

TEST_CASE_TEMPLATE("stored tensors: 8-bit weights are element times the scale of their block", T, float,
                   ds::bf16) {
    FarMemory be;
    ScratchDirectory const scratch;
    auto const meaning = save_float8(be, scratch / "m");
    CHECK(meaning.size() == 68);
    W<T> loaded(be);
    auto const report = format::load_model<Small, T>(be, scratch / "m", loaded);
    CHECK(report.rounded);
    CHECK(report.ignored.empty());
    check_meaning<T>(be, loaded, meaning);

    // Gate and up have as many rows as a block, so that their scales can be stacked as well.
    auto tensors = tensors_in(scratch / "m");
    stack_experts(tensors, "", 5, 16, 16, 5);
    stack_experts(tensors, "_scale_inv", 1, 6, 4, 2);
    write(scratch / "m" / "model.safetensors", tensors);
    W<T> stacked(be);
    format::load_model<Small, T>(be, scratch / "m", stacked);
    CHECK(bits_of(be, stacked) == bits_of(be, loaded));
}

TEST_CASE("stored tensors: the blocks of 8-bit weights are 128 × 128 where no configuration says otherwise") {
    FarMemory be;
    ScratchDirectory const scratch;
    save_float8(be, scratch / "m");
    auto tensors = tensors_in(scratch / "m");
    W<float> weights(be);
    auto const load = [&] {
        write(scratch / "m" / "model.safetensors", tensors);
        format::load_model<Small, float>(be, scratch / "m" / "model.safetensors", weights);
    };
    CHECK(mentions(error_of<ds::FormatError>(load), "68 problems",
                   "'model.layers.0.mlp.down_proj.weight_scale_inv': expected shape [1, 1], found [4, 8]"));
    for (auto& [name, tensor] : tensors) {
        if (name.ends_with("_scale_inv")) {
            tensor.shape = {1, 1};
            tensor.bytes.resize(4);
        }
    }
    CHECK_NOTHROW(load());
}

TEST_CASE("stored tensors: 8-bit weights without scales, or that are no number, are refused by name") {
    FarMemory be;
    ScratchDirectory const scratch;
    save_float8(be, scratch / "m");
    auto const original = tensors_in(scratch / "m");
    W<float> weights(be);
    auto const refusal = [&](auto const& change) {
        auto tensors = original;
        change(tensors);
        write(scratch / "m" / "model.safetensors", tensors);
        return error_of<ds::FormatError>(
            [&] { format::load_model<Small, float>(be, scratch / "m", weights); });
    };
    std::string const name = "model.layers.3.self_attn.o_proj.weight";
    CHECK(mentions(refusal([&](Tensors& tensors) { tensors.erase(name + "_scale_inv"); }), "1 problem",
                   "'" + name + "': is F8_E4M3, but there is no '" + name + "_scale_inv'"));
    CHECK(mentions(refusal([&](Tensors& tensors) { tensors[name].dtype = format::DType::u8; }),
                   "'" + name + "': expected F64, F32, F16, BF16 or F8_E4M3, found U8",
                   "'" + name + "_scale_inv': F32 [4, 7]: not a tensor of this model"));
    CHECK(
        mentions(refusal([&](Tensors& tensors) { tensors[name + "_scale_inv"].dtype = format::DType::i32; }),
                 "'" + name + "_scale_inv': expected F64, F32, F16 or BF16, found I32"));
    CHECK(mentions(refusal([&](Tensors& tensors) {
                       tensors[name].bytes[41] = tensors[name].bytes[7] = std::byte{0x7F};
                   }),
                   "1 problem", "'" + name + "': element 7 is nan, expected a finite number; 2 of 320"));
}
