// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/format/checkpoint.hpp>
#include <deepseek/train/trainer.hpp>

#include "format/small_model.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace ds = deepseek;
namespace fs = std::filesystem;
namespace format = deepseek::format;
using deepseek_tests::bits_of;
using deepseek_tests::error_of;
using deepseek_tests::FarMemory;
using deepseek_tests::fill;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;
using deepseek_tests::Small;
using deepseek_tests::SmallModel;

namespace {

template <class M, class T>
using W = ds::Weights<M, T, FarMemory>;

template <class M, class T>
W<M, T> filled(FarMemory& be, std::uint64_t seed) {
    W<M, T> weights(be);
    fill<M, T>(be, weights, seed);
    return weights;
}

// Rewrites a checkpoint's tensors: `change` gets each and may alter it, or return false to drop it.
template <class Change>
void rewrite(fs::path const& path, Change const& change, std::vector<format::OutputTensor> more = {}) {
    auto const old = ds::read_file(path);
    auto const file = format::SafetensorsFile::parse(std::as_bytes(std::span(old)));
    for (auto const& tensor : file.tensors()) {
        auto copy = format::output_tensor(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
        if (change(copy)) {
            more.push_back(std::move(copy));
        }
    }
    format::write_safetensors(path, more);
}

format::OutputTensor zeros(std::string name, format::DType type, std::vector<ds::index_t> shape) {
    static std::vector<std::byte> const bytes(100'000);
    auto const size = static_cast<std::size_t>(*format::detail::tensor_bytes(type, shape));
    return format::output_tensor(std::move(name), type, std::move(shape), std::span(bytes).first(size));
}

bool keep(format::OutputTensor const&) { return true; }

}  // namespace

TEST_CASE_TEMPLATE("checkpoint: weights are read back bit for bit", T, float, double, ds::bf16) {
    FarMemory be;
    ScratchDirectory const scratch;
    auto const saved = filled<Small, T>(be, 1);
    format::save_model<Small, T>(be, scratch / "model", saved);
    W<Small, T> loaded(be);
    auto const report = format::load_model<Small, T>(be, scratch / "model", loaded);
    CHECK(bits_of(be, loaded) == bits_of(be, saved));
    CHECK(report.ignored.empty());
    CHECK(report.missing_mtp.empty());
    CHECK_FALSE(report.rounded);

    // One tensor per expert, under the published names.
    auto const source = format::TensorSource::open(scratch / "model");
    CHECK(static_cast<std::size_t>(report.tensors) == source.entries().size());
    auto const* const expert = source.find("model.layers.2.mlp.experts.3.down_proj.weight");
    REQUIRE(expert != nullptr);
    CHECK(expert->shape == std::vector<ds::index_t>{16, 5});
    CHECK(expert->dtype == format::dtype_of<T>);
    auto const* const bias = source.find("model.layers.1.mlp.gate.e_score_correction_bias");
    REQUIRE(bias != nullptr);
    CHECK(bias->dtype == format::dtype_of<ds::accumulate_t<T>>);  // never rounded to bf16
    CHECK(source.find("model.layers.3.eh_proj.weight")->shape == std::vector<ds::index_t>{16, 32});
    CHECK(source.find("lm_head.weight") != nullptr);
    CHECK(format::read_config(scratch / "model").vocab_size == 40);
}

TEST_CASE("checkpoint: stacked experts are cut in order") {
    FarMemory be;
    ScratchDirectory const scratch;
    auto weights = filled<Small, float>(be, 1);
    format::save_model<Small, float>(be, scratch / "m", weights);
    auto const source = format::TensorSource::open(scratch / "m");
    std::vector<float> stacked(4 * 5 * 16);
    be.copy_to_host(stacked.data(), weights.view().blocks.rest.equal[0].feed_forward.up.data, 4 * 5 * 16 * 4);
    for (std::size_t expert = 0; expert < 4; ++expert) {
        auto const* const part =
            source.find("model.layers.1.mlp.experts." + std::to_string(expert) + ".up_proj.weight");
        REQUIRE(part != nullptr);
        CHECK(std::memcmp(part->bytes.data(), stacked.data() + expert * 5 * 16, 5 * 16 * 4) == 0);
    }
}

TEST_CASE("checkpoint: element types are converted on the way out and in") {
    FarMemory be;
    ScratchDirectory const scratch;
    auto const saved = filled<Small, float>(be, 1);
    format::save_model<Small, float>(be, scratch / "half", saved, {.dtype = format::DType::bf16});
    CHECK(format::read_config(scratch / "half").torch_dtype == "bfloat16");
    auto const source = format::TensorSource::open(scratch / "half");
    CHECK(source.find("lm_head.weight")->dtype == format::DType::bf16);
    CHECK(source.find("model.layers.1.mlp.gate.e_score_correction_bias")->dtype == format::DType::f32);

    W<Small, ds::bf16> rounded(be);
    CHECK_FALSE(format::load_model<Small, ds::bf16>(be, scratch / "half", rounded).rounded);
    format::save_model<Small, float>(be, scratch / "full", saved);
    W<Small, ds::bf16> rounded_here(be);
    CHECK(format::load_model<Small, ds::bf16>(be, scratch / "full", rounded_here).rounded);
    CHECK(bits_of(be, rounded_here) == bits_of(be, rounded));

    W<Small, double> wide(be);
    format::load_model<Small, double>(be, scratch / "full", wide);
    format::save_model<Small, double>(be, scratch / "back", wide, {.dtype = format::DType::f32});
    W<Small, float> back(be);
    format::load_model<Small, float>(be, scratch / "back", back);
    CHECK(bits_of(be, back) == bits_of(be, saved));
    CHECK_THROWS_AS(
        (format::save_model<Small, float>(be, scratch / "no", saved, {.dtype = format::DType::i8})),
        ds::Error);
    CHECK_FALSE(fs::exists(scratch / "no"));
}

TEST_CASE("checkpoint: F16 files are read") {
    FarMemory be;
    ScratchDirectory const scratch;
    W<Small, float> const zero(be);
    format::save_model<Small, float>(be, scratch / "m", zero);
    static std::uint16_t const half[16] = {0x3C00, 0xC000};
    rewrite(scratch / "m" / "model.safetensors", [](format::OutputTensor& tensor) {
        if (tensor.name == "model.norm.weight") {
            tensor =
                format::output_tensor(tensor.name, format::DType::f16, {16}, std::as_bytes(std::span(half)));
        }
        return true;
    });
    W<Small, float> loaded(be);
    format::load_model<Small, float>(be, scratch / "m", loaded);
    std::array<float, 16> norm{};
    be.copy_to_host(norm.data(), loaded.view().norm.data, sizeof norm);
    CHECK(norm[0] == 1);
    CHECK(norm[1] == -2);
}

TEST_CASE("checkpoint: a tied head is not stored, and one in the file is not needed") {
    using Tied = SmallModel<ds::Options<ds::ModelOptions{.tied_head = true}>>;
    FarMemory be;
    ScratchDirectory const scratch;
    auto const saved = filled<Tied, float>(be, 1);
    format::save_model<Tied, float>(be, scratch / "m", saved);
    CHECK(format::TensorSource::open(scratch / "m").find("lm_head.weight") == nullptr);
    CHECK(format::read_config(scratch / "m").tie_word_embeddings);
    rewrite(scratch / "m" / "model.safetensors", keep,
            {zeros("lm_head.weight", format::DType::f32, {40, 16})});
    W<Tied, float> loaded(be);
    auto const report = format::load_model<Tied, float>(be, scratch / "m", loaded);
    CHECK(report.ignored == std::vector<std::string>{"lm_head.weight"});
    CHECK(bits_of(be, loaded) == bits_of(be, saved));
    W<SmallModel<>, float> untied(be);
    CHECK(mentions(error_of<ds::FormatError>(
                       [&] { format::load_model<SmallModel<>, float>(be, scratch / "m", untied); }),
                   "tie_word_embeddings: the file says true, the model type false"));
}

TEST_CASE("checkpoint: what published files hold besides the model is reported, not loaded") {
    FarMemory be;
    ScratchDirectory const scratch;
    auto const saved = filled<Small, float>(be, 1);
    format::save_model<Small, float>(be, scratch / "m", saved);
    rewrite(scratch / "m" / "model.safetensors", keep,
            {zeros("model.layers.0.self_attn.rotary_emb.inv_freq", format::DType::f32, {2}),
             zeros("model.layers.3.embed_tokens.weight", format::DType::f32, {40, 16}),
             zeros("model.layers.3.shared_head.head.weight", format::DType::f32, {40, 16}),
             zeros("model.layers.4.enorm.weight", format::DType::f32, {16})});
    W<Small, float> loaded(be);
    auto const report = format::load_model<Small, float>(be, scratch / "m", loaded);
    CHECK(report.ignored.size() == 4);
    CHECK(bits_of(be, loaded) == bits_of(be, saved));
    // A model without MTP reads the same file.
    W<SmallModel<>, float> shorter(be);
    auto const shorter_report = format::load_model<SmallModel<>, float>(be, scratch / "m", shorter);
    CHECK(shorter_report.ignored.size() > 20);
    CHECK(shorter_report.missing_mtp.empty());
}

TEST_CASE("checkpoint: absent MTP modules are initialised and reported; half of one is an error") {
    ds::Cpu be{{.threads = 2}};
    ScratchDirectory const scratch;
    ds::Weights<SmallModel<>, float, ds::Cpu> shorter(be);
    fill<SmallModel<>, float>(be, shorter, 1);
    format::save_model<SmallModel<>, float>(be, scratch / "m", shorter);
    ds::Weights<Small, float, ds::Cpu> loaded(be), expected(be);
    auto const report = format::load_model<Small, float>(be, scratch / "m", loaded, {.seed = ds::Seed{5}});
    CHECK(report.missing_mtp.size() > 20);
    CHECK(report.missing_mtp[0].starts_with("model.layers.3."));
    // The module is that of an initialised model; everything else is the file's.
    ds::initialize(be, expected, ds::Seed{5});
    std::vector<std::string> initialised;
    Small::visit(
        [&]<class Tensor>(ds::Info const& info, Tensor const& given, Tensor const& fresh) {
            if (std::equal(given.data, given.data + Tensor::size, fresh.data)) {
                auto const parts = info.parts;
                for (ds::index_t part = 0; part < parts; ++part) {
                    initialised.push_back(ds::full_name(info, part));
                }
            }
        },
        loaded.view(), expected.view());
    CHECK(initialised == report.missing_mtp);

    // So it learns, which a module of zeros cannot.
    std::vector<ds::Token> const text{1, 2, 3, 4, 5, 6, 7, 8, 9};
    ds::Batch const batch{std::span(text).first(8), std::span(text).last(8), 1, 8};
    ds::Trainer<Small, float, ds::Cpu> trainer(be, loaded, {.schedule = {.peak = 1e-2}});
    auto const first = trainer.step({&batch, 1}).losses.mtp[0];
    for (int step = 0; step < 20; ++step) {
        trainer.step({&batch, 1});
    }
    CHECK(trainer.evaluate({&batch, 1}).mtp[0] < first / 2);

    rewrite(scratch / "m" / "model.safetensors", keep,
            {zeros("model.layers.3.enorm.weight", format::DType::f32, {16})});
    CHECK(mentions(
        error_of<ds::FormatError>([&] { format::load_model<Small, float>(be, scratch / "m", loaded); }),
        "'model.layers.3.hnorm.weight': missing, though other tensors of this MTP module are there"));
}

TEST_CASE("checkpoint: one error lists every tensor that does not fit, and nothing is written") {
    FarMemory be;
    ScratchDirectory const scratch;
    format::save_model<Small, float>(be, scratch / "m", filled<Small, float>(be, 1));
    rewrite(scratch / "m" / "model.safetensors",
            [](format::OutputTensor& tensor) {
                if (tensor.name == "model.layers.1.mlp.experts.2.up_proj.weight") {
                    tensor.shape = {16, 5};
                } else if (tensor.name == "model.embed_tokens.weight") {
                    tensor.dtype = format::DType::u32;
                }
                return tensor.name != "model.norm.weight";
            },
            {zeros("model.layers.0.self_attn.q_proj.weight", format::DType::bf16, {2, 3})});
    auto weights = filled<Small, float>(be, 2);
    auto const before = bits_of(be, weights);
    auto const error =
        error_of<ds::FormatError>([&] { format::load_model<Small, float>(be, scratch / "m", weights); });
    CHECK(mentions(error, "model.safetensors: does not fit the model, 4 problems",
                   "'model.layers.1.mlp.experts.2.up_proj.weight': expected shape [5, 16], found [16, 5]",
                   "'model.embed_tokens.weight': expected F64, F32, F16, BF16 or F8_E4M3, found U32",
                   "'model.norm.weight': missing, expected [16]",
                   "'model.layers.0.self_attn.q_proj.weight': BF16 [2, 3]: not a tensor of this model"));
    CHECK(bits_of(be, weights) == before);
}

TEST_CASE_TEMPLATE("checkpoint: weights that are not finite are refused by name, or loaded on request", T,
                   float, double, ds::bf16) {
    FarMemory be;
    ScratchDirectory const scratch;
    format::save_model<Small, T>(be, scratch / "m", filled<Small, T>(be, 1));
    static double const bad[16] = {0, -1, -std::numeric_limits<double>::infinity(), 1e300};
    bool const fits = sizeof(T) == 8;  // 1e300 is an ordinary double
    rewrite(scratch / "m" / "model.safetensors", [](format::OutputTensor& tensor) {
        if (tensor.name == "model.norm.weight") {
            tensor =
                format::output_tensor(tensor.name, format::DType::f64, {16}, std::as_bytes(std::span(bad)));
        }
        return true;
    });
    auto weights = filled<Small, T>(be, 2);
    auto const error =
        error_of<ds::FormatError>([&] { format::load_model<Small, T>(be, scratch / "m", weights); });
    CHECK(mentions(error, "model.safetensors: does not fit the model, 1 problem:",
                   "'model.norm.weight': element 2 is -inf, expected a finite number"));
    CHECK(mentions(error, "2 of 16 elements are not") == !fits);
    auto const report = format::load_model<Small, T>(be, scratch / "m", weights, {.allow_not_finite = true});
    CHECK(report.not_finite == std::vector<std::string>{"model.norm.weight"});
}

TEST_CASE("checkpoint: moments that are not finite are refused by name, whatever their element type") {
    FarMemory be;
    ScratchDirectory const scratch;
    auto const weights = filled<Small, float>(be, 1);
    for (auto const type :
         {format::DType::f64, format::DType::f32, format::DType::f16, format::DType::bf16}) {
        for (std::string const moment : {".m", ".v"}) {
            format::save_checkpoint<Small, float>(be, scratch / "m", weights, weights, weights, {});
            std::vector<std::byte> bytes(static_cast<std::size_t>(16 * format::bits(type) / 8));
            // The seventh element is a NaN: all bits of its exponent and of its fraction.
            auto const width = bytes.size() / 16;
            std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(6 * width), width, std::byte{0xFF});
            rewrite(scratch / "m" / "optimizer.safetensors", [&](format::OutputTensor& tensor) {
                if (tensor.name == "model.norm.weight" + moment) {
                    tensor = format::output_tensor(tensor.name, type, {16}, bytes);
                }
                return true;
            });
            auto loaded = filled<Small, float>(be, 2);
            auto first = filled<Small, float>(be, 3);
            auto second = filled<Small, float>(be, 4);
            auto const error = error_of<ds::FormatError>(
                [&] { format::load_checkpoint<Small, float>(be, scratch / "m", loaded, first, second); });
            CHECK(mentions(error, "'model.norm.weight" + moment + "': element 6 is ", "nan"));
        }
    }
}

TEST_CASE("checkpoint: a long list of problems is cut") {
    FarMemory be;
    ScratchDirectory const scratch;
    format::write_safetensors(scratch / "empty.safetensors", {});
    W<Small, float> weights(be);
    auto const error = error_of<ds::FormatError>(
        [&] { format::load_model<Small, float>(be, scratch / "empty.safetensors", weights); });
    CHECK(mentions(error, "problems", "more"));
    CHECK(error.size() < 4000);
}

TEST_CASE("checkpoint: a configuration of another model is refused before any tensor is looked at") {
    FarMemory be;
    ScratchDirectory const scratch;
    format::save_model<Small, float>(be, scratch / "m", filled<Small, float>(be, 1));
    auto config = format::read_config(scratch / "m");
    config.rope_theta = 50000;
    config.num_experts_per_tok = 1;
    ds::write_file_atomically(scratch / "m" / "config.json", format::format_config(config));
    W<Small, float> weights(be);
    auto const error =
        error_of<ds::FormatError>([&] { format::load_model<Small, float>(be, scratch / "m", weights); });
    CHECK(mentions(error, "config.json: describes another model",
                   "rope_theta: the file says 50000, the model type 10000",
                   "num_experts_per_tok: the file says 1, the model type 2"));
    // The tensors alone fit.
    CHECK_NOTHROW((format::load_model<Small, float>(be, scratch / "m" / "model.safetensors", weights)));
    fs::remove(scratch / "m" / "config.json");
    CHECK(mentions(
        error_of<ds::FileError>([&] { format::load_model<Small, float>(be, scratch / "m", weights); }),
        "config.json"));
    CHECK(mentions(
        error_of<ds::FileError>([&] { format::load_model<Small, float>(be, scratch / "none", weights); }),
        "none"));
}

TEST_CASE("checkpoint: saving removes nothing that it did not write") {
    FarMemory be;
    ScratchDirectory const scratch;
    auto const weights = filled<Small, float>(be, 1);
    fs::create_directory(scratch / "run");
    for (auto const* name : {"model-best.safetensors", "model-00001-of-00002.safetensors", "notes.txt"}) {
        ds::write_file_atomically(scratch / "run" / name, name);
    }
    for (auto const* name : {"run.old", "run.tmp"}) {
        fs::create_directory(scratch / name);
        ds::write_file_atomically(scratch / name / "model.safetensors", name);
        ds::write_file_atomically(scratch / name / "config.json", name);
    }
    fs::create_directory_symlink("run.old", scratch / ".run.deepseek-new");
    for (int i = 0; i < 2; ++i) {
        format::save_model<Small, float>(be, scratch / "run", weights);
    }
    for (auto const* name : {"model-best.safetensors", "model-00001-of-00002.safetensors", "notes.txt"}) {
        CHECK(ds::read_file(scratch / "run" / name) == name);
    }
    for (auto const* name : {"run.old", "run.tmp"}) {
        CHECK(ds::read_file(scratch / name / "model.safetensors") == name);
        CHECK(ds::read_file(scratch / name / "config.json") == name);
    }
    CHECK_NOTHROW(format::TensorSource::open(scratch / "run"));
}

TEST_CASE("checkpoint: a model in several files is not mixed with") {
    FarMemory be;
    ScratchDirectory const scratch;
    fs::create_directory(scratch / "m");
    ds::write_file_atomically(scratch / "m" / "model.safetensors.index.json", "{}");
    auto const weights = filled<Small, float>(be, 1);
    CHECK(mentions(
        error_of<ds::FileError>([&] { format::save_model<Small, float>(be, scratch / "m", weights); }),
        "model.safetensors.index.json, a model in several files"));
    CHECK(mentions(error_of<ds::FileError>([&] { format::prove_savable(scratch / "m", 1); }),
                   "model.safetensors.index.json, a model in several files"));
    CHECK(std::distance(fs::directory_iterator(scratch / "m"), {}) == 1);
}

TEST_CASE("checkpoint: a caller's lock is used, and nobody else's save gets in") {
    FarMemory be;
    ScratchDirectory const scratch;
    auto const weights = filled<Small, float>(be, 1);
    format::DirectoryLock const lock(scratch / "m");
    format::prove_savable(scratch / "m", 1, &lock);
    CHECK_FALSE(fs::exists(scratch / "m"));
    format::save_model<Small, float>(be, scratch / "m", weights, {.lock = &lock});
    format::save_model<Small, float>(be, scratch / "m", weights, {.lock = &lock});
    CHECK(mentions(
        error_of<ds::FileError>([&] { format::save_model<Small, float>(be, scratch / "m", weights); }),
        "is being written by process"));
    CHECK(mentions(error_of<ds::FileError>([&] { format::prove_savable(scratch / "m", 1); }),
                   "is being written by process"));
    CHECK(mentions(error_of<ds::Error>([&] {
                       format::save_model<Small, float>(be, scratch / "n", weights, {.lock = &lock});
                   }),
                   "the lock given is that of"));
}

TEST_CASE("checkpoint: what cannot be saved is known before") {
    ScratchDirectory const scratch;
    auto const refusal = [](fs::path const& path, ds::index_t bytes) {
        return error_of<ds::FileError>([&] { format::prove_savable(path, bytes); });
    };
    ds::write_file_atomically(scratch / "file", "");
    CHECK(mentions(refusal(scratch / "file", 1), "exists and is not a directory"));
    CHECK(mentions(refusal("/", 1), "cannot be replaced"));
    CHECK(mentions(refusal("", 1), "an empty path"));
    CHECK(mentions(refusal("/proc/d", 1), "/proc/d"));
    CHECK(mentions(refusal(scratch / std::string(250, 'd'), 1), "File name too long"));
    fs::create_symlink("nowhere", scratch / "link");
    CHECK(mentions(refusal(scratch / "link", 1), "does not exist"));
    CHECK(mentions(refusal(scratch / "d", ds::index_t{1} << 60), "no space left"));
    CHECK(std::distance(fs::directory_iterator(scratch.path()), {}) == 2);
    // A name that leaves no room for names beside it will do where the directory is there.
    fs::create_directory(scratch / std::string(250, 'd'));
    CHECK(refusal(scratch / std::string(250, 'd'), 1) == "nothing thrown");
    CHECK(fs::is_empty(scratch / std::string(250, 'd')));
}

TEST_CASE("checkpoint: an end-of-text id outside the vocabulary is not saved") {
    FarMemory be;
    ScratchDirectory const scratch;
    auto const weights = filled<Small, float>(be, 1);
    CHECK(mentions(error_of<ds::Error>([&] {
                       format::save_model<Small, float>(be, scratch / "m", weights, {.eos_token = 40});
                   }),
                   "eos_token is 40, not a token of the vocabulary of 40"));
    CHECK_THROWS_AS((format::save_model<Small, float>(be, scratch / "m", weights, {.bos_token = -1})),
                    ds::Error);
    CHECK_FALSE(fs::exists(scratch / "m"));
}
