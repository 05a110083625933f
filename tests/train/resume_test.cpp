// SPDX-License-Identifier: MIT
// A run that goes on from its files is the run that was never stopped, and every part of what is saved is needed for
// that. Everything that may depend on where the run stands is on: warm-up and decay of the rate, the weight of the MTP
// loss, the end of balancing, dropout, the order of the text over more than one epoch, gradient accumulation.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/data/batches.hpp>
#include <deepseek/data/token_files.hpp>
#include <deepseek/format/checkpoint.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/model.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace ds = deepseek;
namespace format = deepseek::format;

namespace {

constexpr std::size_t kVocabulary = 64;
constexpr ds::index_t kLength = 16;
constexpr ds::index_t kTotal = 12;    // steps of four sequences: 48 …
constexpr std::size_t kTokens = 400;  // … windows, of which an epoch has 24
constexpr ds::index_t kStop = 5;

using Attention = ds::MLA<32, 4, 12, 16, 4, 8, 8>;
using M = ds::Model<ds::Vocabulary<kVocabulary>, ds::Blocks<1, Attention, ds::SwiGLU<64>>,
                    ds::Blocks<1, Attention, ds::MoE<8, 2, 32, 32>>, ds::MTP<1>>;

ds::TrainOptions options() {
    return {.schedule = {.decay = ds::Decay::stable,
                         .peak = 3e-3,
                         .floor = 1e-4,
                         .warmup = 2,
                         .total = kTotal,
                         .decay_steps = 4},
            .mtp_switch = 0.5,
            .balance_alpha = 1e-2,
            .bias_speed = 1e-2,
            .bias_freeze = 0.75,
            .embedding_dropout = 0.1,
            .attention_dropout = 0.1,
            .residual_dropout = 0.1,
            .seed = ds::Seed{9}};
}

struct Run {
    ds::Cpu cpu{{.threads = 2}};
    ds::Weights<M, float, ds::Cpu> weights{cpu};
    ds::Trainer<M, float, ds::Cpu> trainer{cpu, weights, options()};
    ds::data::Batches batches;

    explicit Run(ds::data::TokenFiles const& file)
        : batches(file, {.sequences = 4, .length = kLength, .seed = ds::Seed{8}}) {
        ds::initialize(cpu, weights, ds::Seed{7});
    }

    void steps(ds::index_t count) {
        for (ds::index_t i = 0; i < count; ++i) {
            auto const all = batches.next();
            constexpr std::size_t half = 2 * kLength;
            std::array const parts{ds::Batch{all.tokens.first(half), all.targets.first(half), 2, kLength},
                                   ds::Batch{all.tokens.last(half), all.targets.last(half), 2, kLength}};
            trainer.step(parts);
        }
    }

    std::vector<std::byte> bits() const { return {weights.data(), weights.data() + weights.bytes()}; }

    void save(std::filesystem::path const& directory) {
        auto const& at = trainer.progress();
        format::save_checkpoint<M>(cpu, directory, weights, trainer.first_moment(), trainer.second_moment(),
                                   {.step = at.step,
                                    .updates = at.updates,
                                    .tokens = at.tokens,
                                    .skips = at.skips,
                                    .data_position = batches.position()});
    }

    void load(std::filesystem::path const& directory) {
        auto const state = format::load_checkpoint<M>(cpu, directory, weights, trainer.first_moment(),
                                                      trainer.second_moment());
        trainer.progress() = {.step = state.step,
                              .updates = state.updates,
                              .tokens = state.tokens,
                              .skips = static_cast<int>(state.skips)};
        batches.seek(state.data_position);
    }

    void forget_router_biases() {
        M::visit(
            [&]<class Tensor>(ds::Info const& info, Tensor& tensor) {
                if (info.role == ds::Role::state) {
                    cpu.fill_zero(tensor.data, Tensor::size * ds::index_t{sizeof(float)});
                }
            },
            weights.params());
    }
};

}  // namespace

TEST_CASE(
    "resume: a run that goes on from its files is the uninterrupted one, and needs all that they hold") {
    deepseek_tests::ScratchDirectory const scratch;
    std::string tokens;  // two bytes each
    for (std::size_t i = 0; i < kTokens; ++i) {
        tokens += {static_cast<char>(ds::RandomKey{ds::Seed{6}}.bits(i) % kVocabulary), '\0'};
    }
    ds::write_file_atomically(scratch / "t.bin", tokens);
    ds::data::TokenFiles const file(scratch / "t.bin", kVocabulary);

    Run straight(file);
    straight.steps(kTotal);
    CHECK(straight.batches.epochs() > 1.5);
    {
        Run stopped(file);
        stopped.steps(kStop);
        stopped.save(scratch / "run");
        CHECK(stopped.bits() != straight.bits());
    }
    auto const resumed = [&](std::function<void(Run&)> const& spoil) {
        Run run(file);
        run.load(scratch / "run");
        spoil(run);
        run.steps(kTotal - kStop);
        return run.bits() == straight.bits() &&
               run.trainer.progress().tokens == straight.trainer.progress().tokens;
    };
    CHECK(resumed([](Run&) {}));

    std::pair<char const*, std::function<void(Run&)>> const losses[] = {
        {"first moments",
         [](Run& run) {
             run.cpu.fill_zero(run.trainer.first_moment().data(), run.trainer.first_moment().bytes());
         }},
        {"second moments",
         [](Run& run) {
             run.cpu.fill_zero(run.trainer.second_moment().data(), run.trainer.second_moment().bytes());
         }},
        {"router biases", [](Run& run) { run.forget_router_biases(); }},
        {"step", [](Run& run) { run.trainer.progress().step = 0; }},
        {"updates", [](Run& run) { run.trainer.progress().updates = 0; }},
        {"tokens", [](Run& run) { run.trainer.progress().tokens = 0; }},
        {"place in the text", [](Run& run) { run.batches.seek(0); }},
    };
    for (auto const& [what, lose] : losses) {
        CAPTURE(what);
        CHECK_FALSE(resumed(lose));
    }
}
