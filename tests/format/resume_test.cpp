// SPDX-License-Identifier: MIT
#include <deepseek/format/checkpoint.hpp>

#include "format/small_model.hpp"
#include "support/scratch_directory.hpp"
#include "support/stopping_calls.hpp"
#include <doctest/doctest.h>

#include <string>

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

namespace {

// A training run's three sets.
template <class T>
struct Run {
    FarMemory be;
    ds::Weights<Small, T, FarMemory> weights{be}, first{be}, second{be};
    format::TrainingState state;

    explicit Run(std::uint64_t seed = 0) {
        if (seed != 0) {
            fill<Small, T>(be, weights, seed);
            fill<Small, T>(be, first, seed + 1);
            fill<Small, T>(be, second, seed + 2);
            state = {.step = static_cast<ds::index_t>(seed),
                     .tokens = 5,
                     .seed = seed,
                     .options = {{"--lr", "1"}}};
        }
    }
    template <class Calls = deepseek_tests::Unsynced>
    void save(fs::path const& directory) {
        format::BasicCheckpointWriter<Calls> writer(directory);
        writer.model(be, weights);
        writer.training(be, first, second, state);
        writer.commit();
    }
    void load(fs::path const& directory) {
        state = format::load_checkpoint<Small, T>(be, directory, weights, first, second);
    }
    bool equals(Run& other) {
        return bits_of(be, weights) == bits_of(other.be, other.weights) &&
               moments(first) == other.moments(other.first) &&
               moments(second) == other.moments(other.second) && state == other.state;
    }

private:
    // Moments of router biases mean nothing and are not saved.
    std::vector<std::byte> moments(ds::Weights<Small, T, FarMemory>& set) {
        Small::visit(
            [&]<class Tensor>(ds::Info const& info, Tensor& tensor) {
                if (info.role == ds::Role::state) {
                    be.fill_zero(tensor.data,
                                 Tensor::size * static_cast<ds::index_t>(sizeof(typename Tensor::element)));
                }
            },
            set.params());
        return bits_of(be, set);
    }
};

std::size_t count(fs::path const& directory) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), {}));
}

}  // namespace

TEST_CASE_TEMPLATE("resume: weights, moments and counters are read back bit for bit", T, float, ds::bf16) {
    ScratchDirectory const scratch;
    Run<T> saved(1);
    format::save_checkpoint<Small, T>(saved.be, scratch / "run", saved.weights, saved.first, saved.second,
                                      saved.state);
    Run<T> loaded;
    loaded.load(scratch / "run");
    CHECK(loaded.equals(saved));
    CHECK(count(scratch / "run") == 4);
    auto const moments = format::TensorSource::open(scratch / "run" / "optimizer.safetensors");
    CHECK(moments.find("lm_head.weight.m") != nullptr);
    CHECK(moments.find("model.layers.1.mlp.experts.0.up_proj.weight.v") != nullptr);
    CHECK(moments.find("model.layers.1.mlp.gate.e_score_correction_bias.m") == nullptr);
}

TEST_CASE("resume: saving in another element type is refused, the run would not go on bit for bit") {
    ScratchDirectory const scratch;
    Run<float> run(1);
    CHECK_THROWS_AS(
        (format::save_checkpoint<Small, float>(run.be, scratch / "run", run.weights, run.first, run.second,
                                               run.state, {.dtype = format::DType::bf16})),
        ds::Error);
    CHECK(count(scratch.path()) == 0);
}

TEST_CASE("resume: a checkpoint without the optimizer's part can be used but not resumed") {
    ScratchDirectory const scratch;
    Run<float> run(1);
    format::save_model<Small, float>(run.be, scratch / "m", run.weights);
    CHECK(mentions(error_of<ds::FileError>([&] { run.load(scratch / "m"); }), "optimizer.safetensors",
                   "cannot go on"));
    CHECK(mentions(error_of<ds::FileError>([&] { run.load(scratch / "none"); }), "none: no such checkpoint"));
}

TEST_CASE("resume: damage to any file is refused and changes nothing") {
    ScratchDirectory const scratch;
    Run<float> run(1);
    for (auto const* name : {"model.safetensors", "optimizer.safetensors", "trainer.json", "config.json"}) {
        CAPTURE(name);
        run.save(scratch / "run");
        auto const whole = ds::read_file(scratch / "run" / name);
        for (auto const& damaged :
             {std::string(), whole.substr(0, whole.size() / 2), whole.substr(0, whole.size() - 3)}) {
            ds::write_file_atomically(scratch / "run" / name, damaged);
            Run<float> other(7);
            Run<float> same(7);
            auto const error = error_of<ds::FormatError>([&] { other.load(scratch / "run"); });
            CHECK(mentions(error, name));
            CHECK(other.equals(same));
        }
        fs::remove(scratch / "run" / name);
        CHECK(mentions(error_of<ds::FileError>([&] { run.load(scratch / "run"); }), name));
    }
}

TEST_CASE("resume: moments of other tensors, or only some, are refused") {
    ScratchDirectory const scratch;
    Run<float> run(1);
    run.save(scratch / "run");
    auto const path = scratch / "run" / "optimizer.safetensors";
    auto const old = ds::read_file(path);
    auto const file = format::SafetensorsFile::parse(std::as_bytes(std::span(old)));
    std::vector<format::OutputTensor> tensors;
    for (auto const& tensor : file.tensors()) {
        auto const new_name = tensor.name == "model.norm.weight.v" ? "model.norm.weight.w" : tensor.name;
        tensors.push_back(format::output_tensor(new_name, tensor.dtype, tensor.shape, tensor.bytes));
    }
    format::write_safetensors(path, tensors);
    CHECK(mentions(error_of<ds::FormatError>([&] { run.load(scratch / "run"); }), "2 problems",
                   "'model.norm.weight.v': missing", "'model.norm.weight.w': F32 [16]: not a tensor"));
}

TEST_CASE("resume: the tokenizer is copied, and carried over when the checkpoint is replaced") {
    ScratchDirectory const scratch;
    Run<float> run(1);
    ds::write_file_atomically(scratch / "tokenizer.json", "{\"a\": 1}");
    format::save_model<Small, float>(run.be, scratch / "m", run.weights,
                                     {.tokenizer = scratch / "tokenizer.json", .eos_token = 3});
    CHECK(format::read_config(scratch / "m").eos_token_ids == std::vector<ds::index_t>{3});
    ds::write_file_atomically(scratch / "m" / "README.md", "mine");
    run.save(scratch / "m");
    CHECK(ds::read_file(scratch / "m" / "tokenizer.json") == "{\"a\": 1}");
    CHECK(ds::read_file(scratch / "m" / "README.md") == "mine");
    // An export replaces the whole: no optimizer's part of an older run stays beside new weights.
    format::save_model<Small, float>(run.be, scratch / "m", run.weights);
    CHECK_FALSE(fs::exists(scratch / "m" / "optimizer.safetensors"));
    CHECK_FALSE(fs::exists(scratch / "m" / "trainer.json"));
    CHECK(mentions(error_of<ds::FileError>([&] {
                       format::save_model<Small, float>(run.be, scratch / "m", run.weights,
                                                        {.tokenizer = scratch / "none.json"});
                   }),
                   "none.json"));
    CHECK_NOTHROW((format::load_model<Small, float>(run.be, scratch / "m", run.weights)));
}

TEST_CASE("resume: a downloaded model in several files is gone on from, and not written over") {
    ScratchDirectory const scratch;
    Run<float> run(1);
    run.save(scratch / "m");
    fs::rename(scratch / "m" / "model.safetensors", scratch / "m" / "model-00001-of-000001.safetensors");
    std::string map;
    auto const file = format::SafetensorsFile::open(scratch / "m" / "model-00001-of-000001.safetensors");
    for (auto const& tensor : file.tensors()) {
        map += (map.empty() ? "\"" : ", \"") + tensor.name + "\": \"model-00001-of-000001.safetensors\"";
    }
    ds::write_file_atomically(scratch / "m" / "model.safetensors.index.json",
                              "{\"weight_map\": {" + map + "}}");
    Run<float> loaded;
    loaded.load(scratch / "m");
    CHECK(loaded.equals(run));
    auto const before = count(scratch / "m");
    CHECK(mentions(error_of<ds::FileError>([&] { run.save(scratch / "m"); }), "a model in several files"));
    CHECK(count(scratch / "m") == before);
    loaded.load(scratch / "m");
    CHECK(loaded.equals(run));
}

TEST_CASE("resume: a full disk is an error that names the file, and the old checkpoint stays") {
    ScratchDirectory const scratch;
    Run<float> old_run(1);
    Run<float> new_run(2);
    old_run.save(scratch / "run");
    auto const largest = fs::file_size(scratch / "run" / "optimizer.safetensors");
    for (auto const limit :
         {std::uintmax_t{100}, largest - 1}) {  // in the first file, and in the last large one
        std::string error;
        {
            deepseek_tests::FileSizeLimit const full(limit);
            error = error_of<ds::FileError>([&] { new_run.save(scratch / "run"); });
        }
        CHECK(mentions(error, limit == 100 ? "model.safetensors" : "optimizer.safetensors", "cannot write"));
        Run<float> loaded;
        loaded.load(scratch / "run");
        CHECK(loaded.equals(old_run));
        CHECK(count(scratch.path()) == 1);
    }
}

TEST_CASE("resume: a run killed at any moment of saving goes on from the old checkpoint or the new") {
    using Calls = deepseek_tests::Stopping<deepseek_tests::Unsynced>;
    Run<float> old_run(1);
    Run<float> new_run(2);
    enum class Place { swapped, shared, fresh };
    for (auto const place : {Place::swapped, Place::shared, Place::fresh}) {
        CAPTURE(static_cast<int>(place));
        int deaths = 0;
        bool seen_old = false;
        bool seen_new = false;
        bool killed = true;
        for (int n = 1; killed; ++n) {
            CAPTURE(n);
            ScratchDirectory const scratch;
            if (place != Place::fresh) {
                old_run.save(scratch / "run");
            }
            if (place == Place::shared) {
                ds::write_file_atomically(scratch / "run" / "log.jsonl", "mine");
            }
            killed = deepseek_tests::killed_at<Calls>(n, [&] { new_run.save<Calls>(scratch / "run"); });
            bool is_old = place == Place::fresh && !fs::exists(scratch / "run");
            if (!is_old) {
                Run<float> loaded;
                loaded.load(scratch / "run");
                is_old = loaded.equals(old_run);
                CHECK((is_old || loaded.equals(new_run)));
            }
            CHECK((killed || !is_old));
            new_run.save(scratch / "run");
            CHECK(count(scratch.path()) == 1);
            CHECK(count(scratch / "run") == (place == Place::shared ? 5 : 4));
            deaths += killed ? 1 : 0;
            seen_old = seen_old || is_old;
            seen_new = seen_new || (killed && !is_old);
        }
        CHECK(deaths > 10);
        CHECK(seen_old);
        CHECK(seen_new);
    }
}
