// SPDX-License-Identifier: MIT
// labels: golden
// Model T4 against transformers: rows 24 and 26 of the specification's list.
#include "golden/golden.hpp"
#include "golden/golden_checks.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

using namespace deepseek_tests;

TEST_CASE("T4: logits and loss in double equal transformers") {
    check_logits<T4, double>(Fixture("t4"), 1e-6);  // the fixture has these logits in float
}

TEST_CASE("T4: logits and loss in float equal transformers") { check_logits<T4, float>(Fixture("t4"), 5e-5); }

TEST_CASE("T4: logits of 200 tokens equal transformers") {
    check_long<T4, double>(Fixture("t4"), 1e-12);
    check_long<T4, float>(Fixture("t4"), 5e-5);
}

TEST_CASE("T4: the gradient of every parameter equals transformers") { check_gradients<T4>(Fixture("t4")); }
