// SPDX-License-Identifier: MIT
// labels: golden
// Model T2 against transformers: rows 24 and 26 of the specification's list.
#include "golden/golden.hpp"
#include "golden/golden_checks.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

using namespace deepseek_tests;

TEST_CASE("T2: logits and loss in double equal transformers") {
    check_logits<T2, double>(Fixture("t2"), 1e-12);
}

TEST_CASE("T2: logits and loss in float equal transformers") { check_logits<T2, float>(Fixture("t2"), 5e-5); }

TEST_CASE("T2: logits of 200 tokens equal transformers") {
    check_long<T2, double>(Fixture("t2"), 1e-12);
    check_long<T2, float>(Fixture("t2"), 5e-5);
}

TEST_CASE("T2: the gradient of every parameter equals transformers") { check_gradients<T2>(Fixture("t2")); }
