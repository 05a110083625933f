// SPDX-License-Identifier: MIT
// The parts of a step, called by a loop of one's own.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <vector>

namespace ds = deepseek;

namespace {

using Attention = ds::MLA<32, 4, 12, 16, 4, 8, 8>;
using M = ds::Model<ds::Vocabulary<64>, ds::Blocks<1, Attention, ds::SwiGLU<64>>,
                    ds::Blocks<1, Attention, ds::MoE<8, 2, 32, 32>>, ds::MTP<1>>;
template <class T>
using Buffers = ds::StepBuffers<T>;

constexpr ds::TrainOptions kOptions{.schedule = {.peak = 1e-3, .total = 10}, .residual_dropout = 0.1};

// Two micro-batches of unequal numbers of targets that count.
struct Data {
    std::vector<ds::Token> text = std::vector<ds::Token>(65), targets;
    std::array<ds::Batch, 2> batches;

    Data() {
        for (std::size_t i = 0; i < text.size(); ++i) {
            text[i] = static_cast<ds::Token>(ds::RandomKey{ds::Seed{2}}.bits(i) % 64);
        }
        targets.assign(text.begin() + 1, text.end());
        targets[5] = targets[6] = -1;
        std::span const all(text), after(targets);
        batches = {ds::Batch{all.first(32), after.first(32), 2, 16},
                   ds::Batch{all.subspan(32, 32), after.last(32), 2, 16}};
    }
    static constexpr ds::index_t counted = 62;
};

template <class T>
struct Run {
    ds::Cpu cpu{{.threads = 2}};
    ds::Weights<M, T, ds::Cpu> weights{cpu};
    ds::Trainer<M, T, ds::Cpu> trainer{cpu, weights, kOptions};

    Run() { ds::initialize(cpu, weights, ds::Seed{1}); }
    std::vector<T> values() {
        auto const* const first = reinterpret_cast<T const*>(weights.data());
        return {first, first + weights.bytes() / static_cast<ds::index_t>(sizeof(T))};
    }
};

template <class T>
void add(Buffers<T> const& to, std::vector<T> const& gradients, std::vector<double> const& sums) {
    for (std::size_t i = 0; i < gradients.size(); ++i) {
        to.gradients[i] += gradients[i];
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
        to.sums[i] += sums[i];
    }
}

}  // namespace

TEST_CASE("Trainer: its parts called one by one are its step, bit for bit") {
    Data const data;
    Run<float> whole, parts;
    for (int step = 0; step < 3; ++step) {
        auto const a = whole.trainer.step(data.batches);
        parts.trainer.begin();
        for (std::size_t i = 0; i < 2; ++i) {
            parts.trainer.accumulate({&data.batches[i], 1},
                                     {.targets = Data::counted, .first = static_cast<ds::index_t>(i)});
        }
        auto const b = parts.trainer.clip();
        CHECK(parts.trainer.progress().step == step);
        parts.trainer.update(b);
        CHECK(a.total_loss == b.total_loss);
        CHECK(a.norm == b.norm);
        CHECK(a.gradient_scale == b.gradient_scale);
        CHECK(a.tokens == 64);
        CHECK(b.tokens == 64);
    }
    CHECK(whole.values() == parts.values());
    CHECK(whole.trainer.expert_load() == parts.trainer.expert_load());
    CHECK(parts.trainer.progress().updates == 3);
    CHECK(parts.trainer.progress().tokens == 3 * 64);
}

// Sums of gradients are rounded in another order: (a + b) + (c + d) for ((a + b) + c) + d, so that they differ by a few
// roundings of the terms. AdamW divides a gradient by its own size, so that elements near zero may move by up to a part
// of the rate (1e-3) that is not small; in double a millionth of it is far above what three steps made.
TEST_CASE("Trainer: two trainers that add up gradients and sums take the step of both one's micro-batches") {
    Data const data;
    Run<double> whole;
    std::array<Run<double>, 2> ranks;
    for (int step = 0; step < 3; ++step) {
        auto const expected = whole.trainer.step(data.batches);
        // Both accumulate; then each adds what the other has.
        std::array<std::vector<double>, 2> gradients, sums;
        for (std::size_t rank = 0; rank < 2; ++rank) {
            auto& trainer = ranks[rank].trainer;
            trainer.begin();
            trainer.accumulate({&data.batches[rank], 1},
                               {.targets = Data::counted, .first = static_cast<ds::index_t>(rank)});
            auto const buffers = trainer.buffers();
            gradients[rank].assign(buffers.gradients, buffers.gradients + buffers.gradient_count);
            sums[rank].assign(buffers.sums, buffers.sums + buffers.sum_count);
        }
        for (std::size_t rank = 0; rank < 2; ++rank) {
            ds::StepPart const part{.targets = Data::counted, .first = static_cast<ds::index_t>(rank)};
            auto const report = ranks[rank].trainer.step(
                {&data.batches[rank], 1}, part,
                [&](Buffers<double> const& mine) { add(mine, gradients[1 - rank], sums[1 - rank]); });
            CHECK(std::abs(report.total_loss - expected.total_loss) < 1e-12);
            CHECK(std::abs(report.norm - expected.norm) < 1e-12);
            CHECK(report.tokens == 64);
            CHECK(ranks[rank].trainer.expert_load() == whole.trainer.expert_load());
            CHECK(ranks[rank].trainer.progress().tokens == whole.trainer.progress().tokens);
        }
    }
    CHECK(ranks[0].values() == ranks[1].values());  // addition of two commutes
    auto const expected = whole.values();
    auto const given = ranks[0].values();
    double worst = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        worst = std::max(worst, std::abs(given[i] - expected[i]));
    }
    CHECK(worst < 1e-9);
}

TEST_CASE("Trainer: an exception from what adds up the gradients of others leaves nothing behind") {
    Data const data;
    Run<float> quiet, disturbed;
    auto const before = disturbed.values();
    CHECK_THROWS_AS(
        disturbed.trainer.step(data.batches, {},
                               [](Buffers<float> const&) { throw std::runtime_error("the network"); }),
        std::runtime_error);
    CHECK(disturbed.values() == before);
    CHECK(disturbed.trainer.progress().step == 0);
    CHECK(quiet.trainer.step(data.batches).norm == disturbed.trainer.step(data.batches).norm);
    CHECK(quiet.values() == disturbed.values());
}

TEST_CASE("Trainer: gradients are plain numbers by the time that others may add to them") {
    Data const data;
    Run<float> run;
    run.trainer.begin();
    run.trainer.accumulate(data.batches);
    auto const buffers = run.trainer.buffers();
    for (ds::index_t i = 0; i < buffers.gradient_count; ++i) {
        auto const size = std::abs(buffers.gradients[i]);
        REQUIRE((size == 0 || size > 1e-30F));  // counts of experts would be denormal
    }
}

TEST_CASE(
    "Trainer: a changed rate is used, and a step with more targets than it is said to have is refused") {
    Data const data;
    Run<float> run;
    auto const before = run.values();
    run.trainer.begin();
    CHECK_THROWS_WITH_AS(run.trainer.accumulate(data.batches, {.targets = 61}),
                         "training: 62 targets that count, in a step said to have 61", ds::Error);
    run.trainer.begin();
    run.trainer.accumulate(data.batches);
    auto report = run.trainer.clip();
    report.rate = 0;
    run.trainer.update(report);
    auto const after = run.values();
    std::size_t changed = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
        changed += before[i] != after[i];
    }
    CHECK(changed > 0);       // the routers' biases have a speed of their own …
    CHECK(changed <= 2 * 8);  // … and nothing else moved
}
