// SPDX-License-Identifier: MIT
// The formula of golden_weights.hpp against the values Python has for it: every other golden test rests on
// this.
#include "golden/golden_weights.hpp"

#include "golden/golden.hpp"
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

using namespace deepseek_tests;

namespace {

template <class T>
std::vector<double> tensor(std::string const& name, int bias_set = 0) {
    std::vector<T> values(8);
    fill_golden(name, std::span<T>(values), bias_set);
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("golden weights: C++ and Python agree exactly, in float and in double") {
    Fixture const fixture("layers");
    std::string const bias = "model.layers.1.mlp.gate.e_score_correction_bias";
    CHECK(tensor<double>("lm_head.weight") == fixture.doubles("generator.linear"));
    CHECK(tensor<double>("model.norm.weight") == fixture.doubles("generator.gain"));
    CHECK(tensor<double>(bias) == fixture.doubles("generator.router_bias.0"));
    CHECK(tensor<double>(bias, 1) == fixture.doubles("generator.router_bias.1"));
    CHECK(golden_unit<double>("mla.x", 8) == fixture.doubles("generator.unit"));
    CHECK(tensor<float>("lm_head.weight") == fixture.doubles("generator.linear"));
    CHECK(tensor<float>("model.norm.weight") == fixture.doubles("generator.gain"));
    CHECK(tensor<float>(bias, 1) == fixture.doubles("generator.router_bias.1"));
}

TEST_CASE("golden weights: a sketch is what Python makes of the same matrix") {
    Fixture const fixture("layers");
    auto const matrix = golden_unit<double>("mla.x", 12);
    CHECK(relative_error(golden_sketch(matrix.data(), 3, 4), fixture.doubles("generator.sketch")) < 1e-15);
}

TEST_CASE("golden weights: a sketch changes with every entry of the matrix") {
    auto matrix = golden_unit<double>("mla.x", 12);
    auto const before = golden_sketch(matrix.data(), 3, 4);
    for (std::size_t i = 0; i < matrix.size(); ++i) {
        auto const entry = matrix[i];
        matrix[i] += 1e-3;
        auto const after = golden_sketch(matrix.data(), 3, 4);
        CHECK(std::abs(after[i / 4] - before[i / 4]) > 4e-4);
        CHECK(std::abs(after[3 + i % 4] - before[3 + i % 4]) > 4e-4);
        matrix[i] = entry;
    }
}

TEST_CASE("golden fixture: asking for what is not there names the file and the tensor") {
    Fixture const fixture("layers");
    CHECK_THROWS_WITH_AS(fixture.doubles("no such tensor"),
                         doctest::Contains("layers.safetensors: no tensor no such tensor"), deepseek::Error);
    CHECK_THROWS_AS(fixture.ints("generator.unit"), deepseek::Error);
    CHECK_THROWS_AS(fixture.doubles("rms_norm.exponents"), deepseek::Error);
    CHECK(std::isinf(relative_error(std::vector<double>{1}, std::vector<double>{1, 2})));
}
