// SPDX-License-Identifier: MIT
// labels: golden
// Model T1 against transformers: rows 24 and 26 of the specification's list.
#include "golden/golden.hpp"
#include "golden/golden_checks.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

using namespace deepseek_tests;

TEST_CASE("T1: logits and loss in double equal transformers") {
    check_logits<T1, double>(Fixture("t1"), 1e-12);
}

TEST_CASE("T1: logits and loss in float equal transformers") { check_logits<T1, float>(Fixture("t1"), 5e-5); }

TEST_CASE("T1: logits of 200 tokens equal transformers") {
    check_long<T1, double>(Fixture("t1"), 1e-12);
    check_long<T1, float>(Fixture("t1"), 5e-5);
}

TEST_CASE("T1: the gradient of every parameter equals transformers") { check_gradients<T1>(Fixture("t1")); }

TEST_CASE("T1: half-split rotation on the same weights equals transformers with rope_interleave false") {
    Fixture const fixture("t1");
    auto const tokens = fixture.ints("half_split.tokens");
    CHECK(scaled_error(GoldenModel<T1HalfSplit, double>().logits(tokens, 1),
                       fixture.doubles("half_split.logits")) <= 1e-12);
}

TEST_CASE("T1: the loss is the mean over the labels that are not ignored, as -100 or as -1") {
    Fixture const fixture("t1");
    auto labels = fixture.ints("masked.labels");
    GoldenModel<T1, double> model;
    auto const losses = model.losses(fixture.ints("input.tokens"), labels, 2);
    CHECK(std::abs(losses[0] - fixture.scalar("masked.loss")) <= 1e-12);
    std::replace(labels.begin(), labels.end(), index_t{-100}, index_t{-1});
    CHECK(model.losses(fixture.ints("input.tokens"), labels, 2) == losses);
}
