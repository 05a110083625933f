// SPDX-License-Identifier: MIT
// labels: golden
// The embedding table of a tied model with an MTP module has gradients from four uses; here they meet.
#include "golden/golden.hpp"
#include "golden/golden_model.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

#include <cmath>

using namespace deepseek_tests;

TEST_CASE("MTP: losses and the embedding's gradient equal the restatement where the head is tied") {
    Fixture const fixture("mtp");
    GoldenModel<T1Tied, double> model;
    auto const losses = model.backward(fixture.ints("input.tokens"), fixture.ints("input.labels"), 2, 0.3);
    CHECK(std::abs(losses[0] - fixture.scalar("tied.loss.main")) <= 1e-12);
    CHECK(std::abs(losses[1] - fixture.scalar("tied.loss.depths")) <= 1e-12);
    check_tensors<T1Tied>(fixture, "tied.grad.", "", model.gradients().params(), 1e-10, false);
}
