// SPDX-License-Identifier: MIT
// labels: golden
// Training against PyTorch: rows 22, 23 and 27 of the specification's list.
#include <deepseek/train/trainer.hpp>

#include "golden/golden.hpp"
#include "golden/golden_model.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

using namespace deepseek_tests;
namespace ds = deepseek;

namespace {
ds::Schedule constant_rate() { return {.decay = ds::Decay::constant, .peak = 1e-3, .total = 20}; }
}  // namespace

TEST_CASE("AdamW: twenty steps give the losses and the weights of torch.optim.AdamW") {
    Fixture const fixture("training");
    auto const windows = fixture.ints("adamw.windows");
    auto const expected = fixture.doubles("adamw.losses");
    GoldenModel<T1, double> model;
    ds::TrainOptions const options{
        .schedule = constant_rate(),
        .adamw = {.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1},
        .clip_norm = 0,
        .balance_alpha = 0,
        .bias_speed = 0};
    ds::Trainer<T1, double, ds::Cpu> trainer(model.cpu(), model.weights(), options);
    auto window = windows.begin();
    for (std::size_t step = 0; step < expected.size(); ++step) {
        std::vector<Token> tokens;
        std::vector<Token> labels;
        for (int row = 0; row < 2; ++row, window += 34) {
            tokens.insert(tokens.end(), window, window + 33);
            labels.insert(labels.end(), window + 1, window + 34);
        }
        ds::Batch const batch{tokens, labels, 2, 33};
        auto const report = trainer.step(std::span(&batch, 1));
        CAPTURE(step);
        CHECK(std::abs(report.losses.main - expected[step]) <= 1e-8 * expected[step]);
    }
    check_tensors<T1>(fixture, "adamw.final.", "", model.weights().params(), 1e-8, false);
}

TEST_CASE("balance loss: values and gradients in the whole model equal automatic differentiation") {
    Fixture const fixture("training");
    GoldenModel<T1, double> model;
    double balance = 0;
    auto const losses = model.backward(fixture.ints("balanced.tokens"), fixture.ints("balanced.labels"), 2, 0,
                                       {.balance_alpha = 0.01, .balance_loss = &balance});
    auto const layers = fixture.doubles("balanced.loss.layers");
    CHECK(std::abs(balance - (layers[0] + layers[1])) <= 1e-14);
    CHECK(std::abs(losses[0] + balance - fixture.scalar("balanced.loss")) <= 1e-12);
    check_tensors<T1>(fixture, "balanced.grad.", "", model.gradients().params(), 1e-10, false);
}

TEST_CASE("ignored targets: loss and gradients equal transformers' mean over the labels that are not -100") {
    Fixture const fixture("training");
    GoldenModel<T1, double> model;
    auto labels = fixture.ints("balanced.labels");
    for (std::size_t i = 0; i < labels.size(); i += 3) {
        labels[i] = -100;
    }
    auto const losses = model.backward(fixture.ints("balanced.tokens"), labels, 2);
    CHECK(std::abs(losses[0] - fixture.scalar("ignored.loss")) <= 1e-13 * losses[0]);
    check_tensors<T1>(fixture, "ignored.grad.", "", model.gradients().params(), 1e-10, false);
}

TEST_CASE(
    "router bias: one step per optimizer step from the choices of all micro-batches; evaluation changes "
    "none") {
    bool zero_mean = false;
    SUBCASE("each by the same amount") {}
    SUBCASE("less the mean of the changes") { zero_mean = true; }
    Fixture const fixture("training");
    auto const all = to_tokens(fixture.ints("bias.tokens"));
    GoldenModel<T1, double> model;
    ds::TrainOptions const options{.schedule = constant_rate(),
                                   .clip_norm = 0,
                                   .balance_alpha = 0,
                                   .bias_speed = 1e-3,
                                   .bias_zero_mean = zero_mean};
    ds::Trainer<T1, double, ds::Cpu> trainer(model.cpu(), model.weights(), options);
    constexpr std::size_t size = 2 * 33;
    std::vector<ds::Batch> batches;
    for (std::size_t i = 0; i < 2; ++i) {
        // The choices do not depend on the labels.
        std::span const tokens(all.data() + i * size, size);
        batches.push_back({tokens, tokens, 2, 33});
    }
    trainer.evaluate(batches);
    trainer.step(batches);
    std::size_t layer = 0;
    for_tensors<T1>(
        "", model.weights().params(),
        [&](ds::Info const& info, std::string const& name, auto values, index_t, index_t) {
            if (info.role != ds::Role::state) {
                return;
            }
            INFO(name);
            auto const suffix = std::to_string(layer + 1);
            auto const counts = fixture.ints("bias.counts." + suffix);
            for (std::size_t e = 0; e < 16; ++e) {
                CHECK(trainer.expert_load()[layer][e] == static_cast<double>(counts[e] + counts[16 + e]));
            }
            auto const after =
                fixture.doubles((zero_mean ? "bias.after_zero_mean." : "bias.after.") + suffix);
            for (std::size_t e = 0; e < 16; ++e) {
                // torch rounds the mean of the changes.
                CHECK(std::abs(values[e] - after[e]) <= (zero_mean ? 1e-16 : 0));
            }
            ++layer;
        });
    CHECK(layer == 2);
}
