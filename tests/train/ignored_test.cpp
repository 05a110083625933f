// SPDX-License-Identifier: MIT
// Targets that do not count: padding, prompts, and how batches of unequal size are weighed.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace ds = deepseek;

namespace {

using Attention = ds::MLA<16, 2, 8, 6, 4, 8, 8>;
using M = ds::Model<ds::Vocabulary<32>, ds::Blocks<1, Attention, ds::SwiGLU<24>>,
                    ds::Blocks<1, Attention, ds::MoE<8, 2, 12, 12>>, ds::MTP<2>>;
using Trainer = ds::Trainer<M, double, ds::Cpu>;

// Windows with tokens of their own.
struct Windows {
    ds::index_t sequences;
    ds::index_t length;
    std::vector<ds::Token> tokens, targets;

    Windows(ds::index_t s, ds::index_t l, std::uint64_t seed) : sequences(s), length(l) {
        ds::RandomKey const key{ds::Seed{seed}};
        for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(s * l); ++i) {
            tokens.push_back(static_cast<ds::Token>(key.bits(2 * i) % 32));
            targets.push_back(static_cast<ds::Token>(key.bits(2 * i + 1) % 32));
        }
    }
    ds::Batch batch() const { return {tokens, targets, sequences, length}; }

    // Rows [begin, end) of one sequence as a batch of its own.
    ds::Batch part(ds::index_t sequence, ds::index_t begin, ds::index_t end) const {
        auto const at = static_cast<std::size_t>(sequence * length + begin);
        auto const count = static_cast<std::size_t>(end - begin);
        return {std::span(tokens).subspan(at, count), std::span(targets).subspan(at, count), 1, end - begin};
    }
};

struct Result {
    ds::StepReport<2> report;
    ds::Losses<2> evaluated;
    std::vector<std::vector<double>> load;
    std::vector<double> weights;  // after two steps
};

Result run(std::span<ds::Batch const> batches) {
    ds::Cpu cpu{{.threads = 2}};
    ds::Weights<M, double, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    Trainer trainer{cpu, weights, {.schedule = {.peak = 1e-2}, .balance_alpha = 0.1, .bias_speed = 0.01}};
    Result result;
    result.evaluated = trainer.evaluate(batches);
    result.report = trainer.step(batches);
    result.load = trainer.expert_load();
    trainer.step(batches);
    M::visit(
        [&]<class Tensor>(ds::Info const&, Tensor const& tensor) {
            result.weights.insert(result.weights.end(), tensor.data, tensor.data + Tensor::size);
        },
        weights.params());
    return result;
}

void check_near(double a, double b) { CHECK(std::abs(a - b) <= 1e-12 * std::max(1.0, std::abs(b))); }

void check_equal(Result const& a, Result const& b) {
    for (auto const& [x, y] : {std::pair{a.report.losses, b.report.losses}, {a.evaluated, b.evaluated}}) {
        check_near(x.main, y.main);
        check_near(x.mtp[0], y.mtp[0]);
        check_near(x.mtp[1], y.mtp[1]);
        check_near(x.balance, y.balance);
    }
    check_near(a.report.norm, b.report.norm);
    CHECK(a.load == b.load);
    double worst = 0;
    for (std::size_t i = 0; i < a.weights.size(); ++i) {
        worst = std::max(worst, std::abs(a.weights[i] - b.weights[i]));
    }
    // AdamW divides by the gradient's own size, so what is nearly zero may differ by more than its rounding.
    CHECK(worst < 1e-7);
}

}  // namespace

TEST_CASE("ignored targets: a padded sequence is the sequence without its padding") {
    Windows data(2, 16, 3);
    Windows other = data;
    for (std::size_t i = 16 + 10; i < 32; ++i) {
        data.targets[i] = i % 2 == 0 ? -1 : -100;
        other.targets[i] = -1;
        other.tokens[i] = 0;  // what the padding is does not matter
    }
    auto const padded = data.batch();
    auto const again = other.batch();
    ds::Batch const apart[] = {data.part(0, 0, 16), data.part(1, 0, 10)};
    auto const expected = run(apart);
    check_equal(run({&padded, 1}), expected);
    check_equal(run({&again, 1}), expected);
}

TEST_CASE("micro-batches and evaluation batches weigh as many targets as they have") {
    Windows data(3, 16, 4);
    for (std::size_t const i : {0, 1, 2, 3, 4, 5, 6, 20, 40}) {
        data.targets[i] = -1;
    }
    auto const whole = data.batch();
    ds::Batch const parts[] = {data.part(2, 0, 16), data.part(0, 0, 16), data.part(1, 0, 16)};
    check_equal(run(parts), run({&whole, 1}));

    // The mean of a long and a short batch is that over their targets, not that of their means.
    Windows const a(1, 24, 5), b(1, 4, 6);
    ds::Batch const both[] = {a.batch(), b.batch()};
    auto const first = run({both, 1}).evaluated.main;
    auto const second = run({both + 1, 1}).evaluated.main;
    check_near(run(both).evaluated.main, (24 * first + 4 * second) / 28);
}

TEST_CASE("ignored targets: the load counts the rows whose own target counts") {
    Windows data(2, 16, 7);
    for (std::size_t i = 0; i < 5; ++i) {
        data.targets[i] = -1;
    }
    auto const batch = data.batch();
    auto const load = run({&batch, 1}).load;
    auto const sum = [](std::vector<double> const& counts) {
        double total = 0;
        for (auto const count : counts) {
            total += count;
        }
        return total;
    };
    REQUIRE(load.size() == 3);
    CHECK(sum(load[0]) == 2 * 27);
    CHECK(sum(load[1]) == 2 * 26);  // row i predicts the target of row i + 1: 11 and 15 of them
    CHECK(sum(load[2]) == 2 * 25);
}

TEST_CASE("ignored targets: a step or an evaluation in which none counts is refused and changes nothing") {
    Windows data(2, 16, 8);
    auto const good = data;
    data.targets.assign(data.targets.size(), -100);
    auto const batch = data.batch();
    ds::Cpu cpu{{.threads = 1}};
    ds::Weights<M, double, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    Trainer trainer{cpu, weights, {}};
    CHECK_THROWS_WITH_AS(trainer.step({&batch, 1}), "training: no target that counts in 1 batches",
                         ds::Error);
    CHECK_THROWS_WITH_AS(trainer.evaluate({&batch, 1}), "evaluation: no target that counts in 1 batches",
                         ds::Error);
    CHECK_THROWS_WITH_AS(trainer.step({}), "training: no target that counts in 0 batches", ds::Error);
    CHECK(trainer.progress().step == 0);
    // Beside one that has some it is of no consequence.
    ds::Batch const both[] = {batch, good.batch()};
    ds::Batch const one[] = {good.batch()};
    check_equal(run(both), run(one));
}
