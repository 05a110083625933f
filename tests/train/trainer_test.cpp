// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace ds = deepseek;

namespace {

using Attention = ds::MLA<32, 4, 12, 16, 4, 8, 8>;
using M = ds::Model<ds::Vocabulary<64>, ds::Blocks<1, Attention, ds::SwiGLU<64>>,
                    ds::Blocks<1, Attention, ds::MoE<8, 2, 32, 32>>, ds::MTP<1>>;
using Weights = ds::Weights<M, float, ds::Cpu>;
using Trainer = ds::Trainer<M, float, ds::Cpu>;

// Random windows of text without structure; only memory can predict it.
struct Windows {
    std::vector<ds::Token> tokens, targets;

    Windows(ds::index_t sequences, ds::index_t length, std::uint64_t seed) {
        ds::RandomKey const key{ds::Seed{seed}};
        std::uint64_t next = 0;
        for (ds::index_t s = 0; s < sequences; ++s) {
            auto token = static_cast<ds::Token>(key.bits(next++) % 64);
            for (ds::index_t t = 0; t < length; ++t) {
                tokens.push_back(token);
                token = static_cast<ds::Token>(key.bits(next++) % 64);
                targets.push_back(token);
            }
        }
    }
    ds::Batch batch(ds::index_t sequences) const {
        return {tokens, targets, sequences, static_cast<ds::index_t>(tokens.size()) / sequences};
    }
};

std::vector<std::byte> bytes(Weights const& weights) {
    return {weights.data(), weights.data() + weights.bytes()};
}

}  // namespace

TEST_CASE("Trainer: one batch is learned by heart") {
    ds::Cpu cpu{{.threads = 2}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    Trainer trainer{cpu, weights, {.schedule = {.peak = 1e-2, .floor = 1e-3, .warmup = 10, .total = 250}}};
    Windows const data(2, 24, 5);
    ds::Batch const batch = data.batch(2);
    double loss = 0;
    for (int step = 0; step < 250; ++step) {
        loss = trainer.step({&batch, 1}).losses.main;
    }
    CHECK(loss < 0.01);
    CHECK(trainer.evaluate({&batch, 1}).main < 0.01);
}

TEST_CASE("Trainer: micro-batches add up to the step of the whole batch") {
    ds::Cpu cpu{{.threads = 2}};
    Weights whole{cpu}, parts{cpu};
    ds::initialize(cpu, whole, ds::Seed{2});
    ds::initialize(cpu, parts, ds::Seed{2});
    ds::TrainOptions const options{.schedule = {.total = 10}};
    Trainer one{cpu, whole, options}, two{cpu, parts, options};
    Windows const data(4, 16, 6);
    ds::Batch const batch = data.batch(4);
    ds::Batch const halves[] = {{std::span(data.tokens).first(32), std::span(data.targets).first(32), 2, 16},
                                {std::span(data.tokens).last(32), std::span(data.targets).last(32), 2, 16}};
    auto const a = one.step({&batch, 1});
    auto const b = two.step(halves);
    CHECK(a.losses.main == doctest::Approx(b.losses.main).epsilon(1e-6));
    CHECK(a.losses.mtp[0] == doctest::Approx(b.losses.mtp[0]).epsilon(1e-6));
    CHECK(a.losses.balance == doctest::Approx(b.losses.balance).epsilon(1e-5));
    CHECK(a.norm == doctest::Approx(b.norm).epsilon(1e-5));
    CHECK(one.expert_load() ==
          two.expert_load());  // biases move once per step, by the counts of all micro-batches
    CHECK(one.progress().tokens == 64);
    CHECK(two.progress().tokens == 64);
}

TEST_CASE("Trainer: runs are the same bits for one, two and three threads, and from run to run") {
    auto const run = [](int threads) {
        ds::Cpu cpu{{.threads = threads}};
        Weights weights{cpu};
        ds::initialize(cpu, weights, ds::Seed{3});
        Trainer trainer{cpu, weights, {.schedule = {.peak = 1e-3, .total = 8}, .residual_dropout = 0.1}};
        Windows const data(3, 20, 7);
        ds::Batch const batch = data.batch(3);
        for (int step = 0; step < 8; ++step) {
            trainer.step({&batch, 1});
        }
        return bytes(weights);
    };
    auto const one = run(1);
    CHECK(one == run(1));
    CHECK(one == run(2));
    CHECK(one == run(3));
}

TEST_CASE("Trainer: weights, moments and counters are all that going on needs") {
    ds::Cpu cpu{{.threads = 2}};
    ds::TrainOptions const options{.schedule = {.peak = 1e-3, .warmup = 2, .total = 12},
                                   .attention_dropout = 0.1};
    Windows const data(2, 16, 8);
    ds::Batch const batch = data.batch(2);
    Weights straight{cpu};
    ds::initialize(cpu, straight, ds::Seed{4});
    Trainer trainer{cpu, straight, options};
    for (int step = 0; step < 12; ++step) {
        trainer.step({&batch, 1});
    }

    Weights resumed{cpu};
    ds::initialize(cpu, resumed, ds::Seed{4});
    Trainer first{cpu, resumed, options};
    for (int step = 0; step < 5; ++step) {
        first.step({&batch, 1});
    }
    Trainer second{cpu, resumed, options};
    ds::copy_weights(cpu, second.first_moment(), first.first_moment());
    ds::copy_weights(cpu, second.second_moment(), first.second_moment());
    second.progress() = first.progress();
    for (int step = 5; step < 12; ++step) {
        second.step({&batch, 1});
    }
    CHECK(bytes(straight) == bytes(resumed));
}

TEST_CASE("Trainer: evaluation changes nothing") {
    ds::Cpu cpu{{.threads = 2}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{5});
    Trainer trainer{cpu, weights, {.schedule = {.total = 4}}};
    Windows const data(2, 16, 9);
    ds::Batch const batch = data.batch(2);
    trainer.step({&batch, 1});
    auto const before = bytes(weights);
    auto const progress = trainer.progress();
    auto const once = trainer.evaluate({&batch, 1});
    auto const twice = trainer.evaluate({&batch, 1});
    CHECK(once.main == twice.main);
    CHECK(bytes(weights) == before);
    CHECK(trainer.progress().step == progress.step);
    CHECK(trainer.progress().tokens == progress.tokens);
}

TEST_CASE("Trainer: a step without a finite loss leaves everything as it was, and several end the training") {
    ds::Cpu cpu{{.threads = 1}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{6});
    Trainer trainer{cpu, weights, {.schedule = {.total = 20}, .max_skips = 1}};
    Windows const data(1, 16, 10);
    ds::Batch const batch = data.batch(1);
    trainer.step({&batch, 1});
    auto& gain = *weights.params().norm.data;
    auto const kept = gain;
    gain = std::numeric_limits<float>::quiet_NaN();
    auto const before = bytes(weights);
    auto const moments = bytes(trainer.first_moment());
    auto const report = trainer.step({&batch, 1});
    CHECK(report.skipped);
    CHECK(bytes(weights) == before);
    CHECK(bytes(trainer.first_moment()) == moments);
    CHECK(trainer.progress().updates == 1);
    CHECK(trainer.progress().step == 2);
    CHECK_THROWS_AS(trainer.step({&batch, 1}), ds::Error);
    gain = kept;
    CHECK_FALSE(trainer.step({&batch, 1}).skipped);  // the bad steps' gradients are gone
}

TEST_CASE("Trainer: options that make no sense are refused by name") {
    ds::Cpu cpu{{.threads = 1}};
    Weights weights{cpu};
    auto const refused = [&](ds::TrainOptions const& options, char const* text) {
        CHECK_THROWS_WITH_AS((Trainer{cpu, weights, options}), doctest::Contains(text), ds::Error);
    };
    refused({.schedule = {.peak = -1}}, "peak learning rate");
    refused({.schedule = {.warmup = 3, .total = 2}}, "warm-up");
    refused({.adamw = {.beta1 = 1}}, "beta1");
    refused({.adamw = {.epsilon = 0}}, "epsilon");
    refused({.clip_norm = -1}, "clip_norm");
    refused({.residual_dropout = 1}, "residual_dropout");
    CHECK_THROWS_AS((Trainer{cpu, weights, {}}.step({})), ds::Error);
}

TEST_CASE("Trainer: an id outside the vocabulary is refused before anything is read") {
    ds::Cpu cpu{{.threads = 1}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{7});
    Trainer trainer{cpu, weights, {.schedule = {.total = 4}}};
    for (auto const id : {64, 100'000, -1}) {
        Windows data(2, 16, 11);
        data.tokens[20] = id;
        ds::Batch const batch = data.batch(2);
        auto const text = ds::message("batch: the token of sequence 1 at position 4 is ", id);
        CHECK_THROWS_WITH_AS(trainer.step({&batch, 1}), doctest::Contains(text.c_str()), ds::Error);
        CHECK_THROWS_WITH_AS(trainer.evaluate({&batch, 1}), doctest::Contains(text.c_str()), ds::Error);
    }
    Windows data(2, 16, 11);
    data.targets[3] = 64;
    ds::Batch const batch = data.batch(2);
    CHECK_THROWS_WITH_AS(trainer.step({&batch, 1}),
                         doctest::Contains("the target of sequence 0 at position 3"), ds::Error);
}

TEST_CASE(
    "Trainer: with only a rate it trains at that rate, balances and predicts as in a run without an end") {
    auto const run = [](ds::Schedule const& schedule) {
        ds::Cpu cpu{{.threads = 1}};
        Weights weights{cpu};
        ds::initialize(cpu, weights, ds::Seed{8});
        Trainer trainer{cpu, weights, {.schedule = schedule}};
        Windows const data(2, 16, 12);
        ds::Batch const batch = data.batch(2);
        for (int step = 0; step < 4; ++step) {
            trainer.step({&batch, 1});
        }
        return bytes(weights);
    };
    CHECK(run({.peak = 1e-3}) == run({.decay = ds::Decay::constant, .peak = 1e-3, .total = 1'000'000}));
}
