// SPDX-License-Identifier: MIT
// labels: golden
// Model T5 against transformers: rows 24 and 26 of the specification's list.
#include "golden/golden.hpp"
#include "golden/golden_checks.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

using namespace deepseek_tests;

TEST_CASE("T5: logits and loss in double equal transformers") {
    check_logits<T5, double>(Fixture("t5"), 1e-6);  // the fixture has these logits in float
}

TEST_CASE("T5: logits and loss in float equal transformers") { check_logits<T5, float>(Fixture("t5"), 5e-5); }

TEST_CASE("T5: logits of 200 tokens equal transformers") {
    check_long<T5, double>(Fixture("t5"), 1e-12);
    check_long<T5, float>(Fixture("t5"), 5e-5);
}

TEST_CASE("T5: the gradient of every parameter equals transformers") { check_gradients<T5>(Fixture("t5")); }
