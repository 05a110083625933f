// SPDX-License-Identifier: MIT
// labels: golden
// Multi-token prediction against the restatement in PyTorch: rows 33 to 35 of the specification's list.
#include "golden/golden.hpp"
#include "golden/golden_model.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

using namespace deepseek_tests;

namespace {

constexpr double kWeight = 0.3;

template <class M>
void check_losses(Fixture const& fixture, std::string const& prefix,
                  std::array<double, M::mtp_depth + 1> const& losses, double tolerance) {
    CHECK(std::abs(losses[0] - fixture.scalar(prefix + "loss.main")) <= tolerance);
    auto const depths = fixture.doubles(prefix + "loss.depths");
    double total = losses[0];
    for (std::size_t k = 1; k < losses.size(); ++k) {
        INFO(prefix, "depth ", k);
        CHECK(std::abs(losses[k] - depths[k - 1]) <= tolerance);
        total += kWeight / static_cast<double>(M::mtp_depth) * losses[k];
    }
    CHECK(std::abs(total - fixture.scalar(prefix + "loss")) <= tolerance);
}

template <class M>
void check_gradients(bool all) {
    Fixture const fixture("mtp");
    auto const prefix = "dm" + std::to_string(M::mtp_depth) + ".";
    GoldenModel<M, double> model;
    auto const losses =
        model.backward(fixture.ints("input.tokens"), fixture.ints("input.labels"), 2, kWeight);
    check_losses<M>(fixture, prefix, losses, 1e-12);
    check_tensors<M>(fixture, prefix + "grad.", "", model.gradients().params(), 1e-10, all);
}

}  // namespace

TEST_CASE_TEMPLATE("MTP: logits of every depth equal the restatement", T, float, double) {
    Fixture const fixture("mtp");
    GoldenModel<T1Deep<3>, T> model;
    for (std::size_t k = 1; k <= 3; ++k) {
        CAPTURE(k);
        auto const name = "output.logits." + std::to_string(k);
        auto const logits = model.logits(fixture.ints("input.tokens"), 2, k);
        CHECK(scaled_error(logits, fixture.doubles(name)) <= (std::is_same_v<T, float> ? 2e-5 : 1e-7));
    }
}

TEST_CASE("MTP: a joint projection with its halves swapped gives other logits") {
    Fixture const fixture("mtp");
    GoldenModel<T1Deep<1>, double> model;
    auto const join = model.weights().params().mtp[0].join.weight;
    for (index_t row = 0; row < join.rows; ++row) {
        std::rotate(join.row(row), join.row(row) + join.cols / 2, join.row(row) + join.cols);
    }
    auto const logits = model.logits(fixture.ints("input.tokens"), 2, 1);
    CHECK(scaled_error(logits, fixture.doubles("output.logits.1")) > 0.1);
}

TEST_CASE("MTP: depth k is trained on the token k + 1 further on") {
    Fixture const fixture("mtp");
    GoldenModel<T1Deep<3>, float> model;
    std::vector<index_t> tokens(12);
    std::vector<index_t> labels(12);
    for (index_t i = 0; i < 12; ++i) {
        tokens[static_cast<std::size_t>(i)] = i;
        labels[static_cast<std::size_t>(i)] = i + 1;
    }
    model.forward(tokens, labels, 1, [&](auto& tape) {
        for (std::size_t k = 1; k <= 3; ++k) {
            CAPTURE(k);
            std::vector<index_t> const targets(tape.targets[k], tape.targets[k] + 12 - k);
            std::vector<index_t> const inputs(tape.tokens[k], tape.tokens[k] + 12 - k);
            CHECK(targets == fixture.ints("counting.labels." + std::to_string(k)));
            CHECK(inputs ==
                  std::vector<index_t>(tokens.begin() + static_cast<std::ptrdiff_t>(k), tokens.end()));
        }
    });
}

TEST_CASE("MTP: losses and gradients of all parameters equal the restatement with one module") {
    check_gradients<T1Deep<1>>(false);
}

TEST_CASE("MTP: losses and gradients of all parameters equal the restatement with two modules") {
    check_gradients<T1Deep<2>>(true);
}

TEST_CASE("MTP: losses and gradients of all parameters equal the restatement with three modules") {
    check_gradients<T1Deep<3>>(false);
}

TEST_CASE("MTP: losses are sums over the labels that count, divided by those of the main model") {
    Fixture const fixture("mtp");
    GoldenModel<T1Deep<3>, double> model;
    auto const losses = model.losses(fixture.ints("input.tokens"), fixture.ints("masked.labels"), 2);
    check_losses<T1Deep<3>>(fixture, "masked.", losses, 1e-12);
}
