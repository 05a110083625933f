// SPDX-License-Identifier: MIT
// labels: golden
// SwiGLU and mixtures of experts against transformers: rows 3, 20 and 21 of the specification's list.
#include "golden/golden.hpp"
#include "golden/golden_layer.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>

using namespace deepseek_tests;

TEST_CASE("SwiGLU: values and gradients equal transformers") {
    Fixture const fixture("layers");
    GoldenLayer<deepseek::SwiGLU<96>::bind<64>, double> layer("model.layers.0.mlp.");
    layer.run(golden_unit<double>("swiglu.x", 9 * 64), golden_unit<double>("swiglu.dy", 9 * 64));
    CHECK(relative_error(layer.y, fixture.doubles("swiglu.y")) <= 1e-12);
    CHECK(relative_error(layer.dx, fixture.doubles("swiglu.dx")) <= 1e-12);
    layer.check_gradients(fixture, "swiglu.grad.", 1e-12);
}

namespace {

constexpr std::string_view kExperts = "model.layers.1.mlp.";

template <class Experts>
void check(std::string const& name) {
    using Layer = typename Experts::template bind<64>;
    Fixture const fixture("layers");
    auto const expected = fixture.doubles(name + ".y");
    SUBCASE("float") {
        GoldenLayer<Layer, float> layer(kExperts);
        layer.run(golden_unit<float>("moe.x", 16 * 64));
        CHECK(scaled_error(layer.y, expected) <= 2e-5);
    }
    SUBCASE("double") {
        GoldenLayer<Layer, double> layer(kExperts);
        layer.run(golden_unit<double>("moe.x", 16 * 64));
        CHECK(relative_error(layer.y, expected) <= 1e-12);
    }
    SUBCASE("double, few tokens, with gradients") {
        GoldenLayer<Layer, double> layer(kExperts);
        layer.run(golden_unit<double>("moe.x", 5 * 64), golden_unit<double>("moe.dy", 5 * 64));
        CHECK(relative_error(layer.y, rows_of(expected, {0, 1, 2, 3, 4}, 64)) <= 1e-12);
        CHECK(relative_error(layer.dx, fixture.doubles(name + ".few.dx")) <= 1e-10);
        layer.check_gradients(fixture, name + ".few.grad.", 1e-10);
        auto const used = fixture.ints(name + ".few.experts");
        for_tensors<Layer>(
            kExperts, layer.gradients,
            [&](deepseek::Info const& info, std::string const& full, auto values, index_t, index_t) {
                auto const at = full.find("experts.");
                if (info.parts > 1 &&
                    std::find(used.begin(), used.end(), std::stoll(full.substr(at + 8))) == used.end()) {
                    INFO(full);
                    CHECK(std::all_of(values.begin(), values.end(), [](double value) { return value == 0; }));
                }
            });
    }
}

}  // namespace

TEST_CASE(
    "MoE: values and gradients equal transformers with sigmoid scores, experts without tokens included") {
    check<ExpertsT1>("moe.t1");
}

TEST_CASE(
    "MoE: values and gradients equal transformers with softmax scores, experts without tokens included") {
    check<ExpertsT4>("moe.t4");
}
