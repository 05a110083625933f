// SPDX-License-Identifier: MIT
// Training on the emulated device: the same as on the Cpu, and what it asks of a device.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/emulated.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace ds = deepseek;

namespace {

// Every kind of part; two mixtures of experts in blocks and one in the MTP module.
using Attention = ds::MLA<16, 2, 6, 8, 4, 4, 4>;
using M = ds::Model<ds::Vocabulary<40>, ds::Blocks<1, Attention, ds::SwiGLU<24>>,
                    ds::Blocks<2, Attention, ds::MoE<4, 2, 12, 8>>, ds::MTP<1>>;
constexpr ds::index_t kLength = 12;

// Two micro-batches of two sequences, others at every step.
struct Data {
    std::vector<ds::Token> tokens = std::vector<ds::Token>(4 * kLength + 1);
    std::array<ds::Batch, 2> batches;
    std::uint64_t drawn = 0;

    std::span<ds::Batch const> next() {
        for (auto& token : tokens) {
            token = static_cast<ds::Token>(ds::RandomKey{ds::Seed{4}}.bits(drawn++) % 40);
        }
        std::span const all(tokens);
        for (std::size_t i = 0; i < 2; ++i) {
            constexpr std::size_t kSize = 2 * kLength;
            batches[i] = {all.subspan(i * kSize, kSize), all.subspan(i * kSize + 1, kSize), 2, kLength};
        }
        return batches;
    }
};

template <class T, class B>
struct Run {
    B& be;
    ds::Weights<M, ds::accumulate_t<T>, B> weights{be};
    ds::Trainer<M, T, B> trainer;
    Data data{};

    Run(B& be, ds::TrainOptions const& options) : be(be), trainer(be, weights, options) {
        ds::initialize(be, weights, ds::Seed{1});
    }
    std::vector<std::byte> bits() {
        std::vector<std::byte> bytes(static_cast<std::size_t>(weights.bytes()));
        be.copy_to_host(bytes.data(), weights.data(), weights.bytes());
        return bytes;
    }
};

ds::TrainOptions options() {
    return {.schedule = {.peak = 1e-2, .warmup = 3, .total = 20},
            .bias_speed = 0.01,
            .embedding_dropout = 0.1,
            .attention_dropout = 0.1,
            .residual_dropout = 0.1};
}

}  // namespace

TEST_CASE("Trainer: losses, norms, loads and evaluations on the emulated device are the Cpu's") {
    for (bool const recompute : {false, true}) {
        CAPTURE(recompute);
        auto settings = options();
        settings.recompute = recompute;
        ds::Cpu cpu{{.threads = 2}};
        ds::Emulated device{{.order = ds::gpu::Order::scattered}};
        Run<double, ds::Cpu> expected(cpu, settings);
        Run<double, ds::Emulated> given(device, settings);
        for (int step = 0; step < 8; ++step) {
            CAPTURE(step);
            auto const a = given.trainer.step(given.data.next());
            auto const b = expected.trainer.step(expected.data.next());
            // Other roundings, which training amplifies from step to step.
            CHECK(a.losses.main == doctest::Approx(b.losses.main).epsilon(1e-10));
            CHECK(a.losses.mtp[0] == doctest::Approx(b.losses.mtp[0]).epsilon(1e-10));
            CHECK(a.losses.balance == doctest::Approx(b.losses.balance).epsilon(1e-10));
            CHECK(a.norm == doctest::Approx(b.norm).epsilon(1e-9));
            CHECK(a.skipped == b.skipped);
            CHECK(given.trainer.expert_load() == expected.trainer.expert_load());
            CHECK(given.trainer.evaluate(given.data.batches).main ==
                  doctest::Approx(expected.trainer.evaluate(expected.data.batches).main).epsilon(1e-10));
        }
        CHECK(given.trainer.progress().updates == 8);
    }
}

TEST_CASE("Trainer: computing in bf16, losses on the emulated device follow the Cpu's") {
    ds::Cpu cpu{{.threads = 2}};
    ds::Emulated device{{.order = ds::gpu::Order::scattered}};
    Run<ds::bf16, ds::Cpu> expected(cpu, options());
    Run<ds::bf16, ds::Emulated> given(device, options());
    for (int step = 0; step < 8; ++step) {
        CAPTURE(step);
        auto const a = given.trainer.step(given.data.next());
        auto const b = expected.trainer.step(expected.data.next());
        // Activations of 8 bits are rounded in other places; a mean over 48 targets evens most of that out.
        CHECK(a.losses.main == doctest::Approx(b.losses.main).epsilon(0.01));
        CHECK(a.norm == doctest::Approx(b.norm).epsilon(0.05));
    }
}

TEST_CASE("Trainer: one batch is learned by heart on the emulated device") {
    ds::Emulated be;
    ds::TrainOptions const settings{.schedule = {.peak = 2e-2, .floor = 1e-3, .warmup = 5, .total = 120}};
    Run<float, ds::Emulated> run(be, settings);
    auto const batches = run.data.next();
    for (int step = 0; step < 120; ++step) {
        run.trainer.step(batches);
    }
    CHECK(run.trainer.evaluate(batches).main < 0.05);
}

TEST_CASE("Trainer: on the emulated device, too, weights, moments and counters are all that going on needs") {
    ds::Emulated be{{.order = ds::gpu::Order::scattered}};
    Run<float, ds::Emulated> straight(be, options());
    for (int step = 0; step < 6; ++step) {
        straight.trainer.step(straight.data.next());
    }
    Run<float, ds::Emulated> first(be, options());
    for (int step = 0; step < 2; ++step) {
        first.trainer.step(first.data.next());
    }
    Run<float, ds::Emulated> second(be, options());
    ds::copy_weights(be, second.weights, first.weights);
    ds::copy_weights(be, second.trainer.first_moment(), first.trainer.first_moment());
    ds::copy_weights(be, second.trainer.second_moment(), first.trainer.second_moment());
    second.trainer.progress() = first.trainer.progress();
    second.data.drawn = first.data.drawn;
    for (int step = 2; step < 6; ++step) {
        second.trainer.step(second.data.next());
    }
    CHECK(second.bits() == straight.bits());
    CHECK(first.bits() != straight.bits());
}

TEST_CASE(
    "Trainer: a step without a finite loss leaves weights and moments of the emulated device as they were") {
    ds::Emulated be;
    Run<float, ds::Emulated> run(be, options());
    run.trainer.step(run.data.next());
    auto const nan = std::numeric_limits<float>::quiet_NaN();
    float kept = 0;
    auto* const gain = run.weights.params().norm.data;
    be.copy_to_host(&kept, gain, sizeof kept);
    be.copy_from_host(gain, &nan, sizeof nan);
    auto const before = run.bits();
    CHECK(run.trainer.step(run.data.next()).skipped);
    CHECK(run.bits() == before);
    be.copy_from_host(gain, &kept, sizeof kept);
    CHECK_FALSE(run.trainer.step(run.data.next()).skipped);
}

TEST_CASE_TEMPLATE("Trainer: what a steady step and an evaluation ask of a device", Compute, float,
                   ds::bf16) {
    ds::Emulated be;
    Run<Compute, ds::Emulated> run(be, options());
    auto const settle = [&] {
        run.trainer.step(run.data.next());
        run.trainer.evaluate(run.data.batches);
    };
    settle();  // arenas learn how much it takes …
    settle();  // … and put that in one piece
    settle();
    for (int repeat = 0; repeat < 3; ++repeat) {
        auto start = be.counts();
        run.trainer.step(run.data.next());
        auto const step = be.counts() - start;
        CHECK(step.allocations == 0);
        CHECK(step.frees == 0);
        CHECK(step.uploads == 2 * 2);  // tokens and targets of two micro-batches
        CHECK(step.downloads == step.waits);
        CHECK(step.waits == 1);  // for losses, norm and the load of every expert at once

        start = be.counts();
        run.trainer.evaluate(run.data.batches);
        auto const evaluation = be.counts() - start;
        CHECK(evaluation.allocations == 0);
        CHECK(evaluation.frees == 0);
        CHECK(evaluation.uploads == 2 * 2);
        CHECK(evaluation.waits == 1);
    }
}

TEST_CASE("Trainer: norm, update and balancing are a few launches, however many tensors a model has") {
    ds::Emulated be;
    Run<float, ds::Emulated> run(be, options());
    run.trainer.step(run.data.next());
    auto const counted = [&](auto const& part) {
        auto const start = be.counts();
        part();
        return be.counts() - start;
    };
    run.trainer.begin();
    auto const accumulated = counted([&] { run.trainer.accumulate(run.data.next()); });
    CHECK(accumulated.waits == 0);
    ds::StepReport<run.trainer.depth> report;
    auto const clipped = counted([&] { report = run.trainer.clip(); });
    CHECK(clipped.launches == 2);  // squares of blocks, and their sum
    CHECK(clipped.waits == 1);
    CHECK(clipped.downloads == 1);
    CHECK(clipped.uploads == 0);
    auto const updated = counted([&] { run.trainer.update(report); });
    CHECK(updated.launches == 2);  // AdamW, and the routers' biases
    CHECK(updated.waits == 0);
    CHECK(updated.uploads == 0);
}

TEST_CASE(
    "Trainer: in bf16 the emulated device learns what the Cpu learns, rounds all weights in two launches") {
    ds::Cpu cpu{{.threads = 2}};
    ds::Emulated be;
    Run<ds::bf16, ds::Cpu> expected(cpu, options());
    Run<ds::bf16, ds::Emulated> run(be, options());
    for (int step = 0; step < 3; ++step) {
        auto const a = expected.trainer.step(expected.data.next());
        auto const b = run.trainer.step(run.data.next());
        CHECK(b.losses.main == doctest::Approx(a.losses.main).epsilon(0.01));
    }
    auto const start = be.counts();
    run.trainer.begin();
    auto const begun = be.counts() - start;
    CHECK(begun.launches == 2);
    CHECK(begun.waits == 0);
    CHECK(begun.uploads == 0);
}
