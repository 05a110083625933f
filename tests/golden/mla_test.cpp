// SPDX-License-Identifier: MIT
// labels: golden
// Attention of layer 0 against transformers: rows 8 to 11 and 15 of the specification's list.
#include "golden/golden.hpp"
#include "golden/golden_layer.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace deepseek_tests;

namespace {

template <class Attention>
void check(std::string const& name, index_t length) {
    Fixture const fixture("layers");
    auto const rows = fixture.ints(name + ".rows");
    SUBCASE("float") {
        GoldenLayer<Attention, float> layer("model.layers.0.self_attn.");
        layer.run(golden_unit<float>("mla.x", length * 64));
        CHECK(scaled_error(rows_of(layer.y, rows, 64), fixture.doubles(name + ".y")) <= 1e-5);
    }
    SUBCASE("double, with gradients") {
        GoldenLayer<Attention, double> layer("model.layers.0.self_attn.");
        layer.run(golden_unit<double>("mla.x", length * 64), golden_unit<double>("mla.dy", length * 64));
        CHECK(relative_error(rows_of(layer.y, rows, 64), fixture.doubles(name + ".y")) <= 1e-12);
        CHECK(relative_error(rows_of(layer.dx, rows, 64), fixture.doubles(name + ".dx")) <= 1e-10);
        layer.check_gradients(fixture, name + ".grad.", 1e-10);
    }
}

}  // namespace

TEST_CASE("MLA: values and gradients equal transformers with a compressed query") {
    check<AttentionT1>("mla.t1", 17);
}

TEST_CASE("MLA: values and gradients equal transformers without query compression") {
    check<AttentionT2>("mla.t2", 17);
}

TEST_CASE("MLA: values and gradients equal transformers with biases") {
    check<AttentionT1Biased>("mla.t1_biased", 17);
}

TEST_CASE("MLA: values and gradients equal transformers with YaRN beyond its original context") {
    check<AttentionT3>("mla.t3", 200);
}

TEST_CASE("MLA: half-split rotation on permuted weights equals interleaved rotation") {
    constexpr index_t order[] = {0, 2, 4, 6, 1, 3, 5, 7};  // pairs (2i, 2i + 1) become (i, i + 4)
    GoldenLayer<AttentionT1, double> interleaved("model.layers.0.self_attn.");
    GoldenLayer<AttentionT1HalfSplit, double> half_split("model.layers.0.self_attn.");
    auto const permute = [&](auto to, auto from, index_t first) {
        for (index_t j = 0; j < 8; ++j) {
            std::copy_n(from.row(first + order[j]), from.cols, to.row(first + j));
        }
    };
    for (index_t head = 0; head < 4; ++head) {
        permute(half_split.params.q_up.weight, interleaved.params.q_up.weight, head * 24 + 16);
    }
    permute(half_split.params.kv_down.weight, interleaved.params.kv_down.weight, 32);
    interleaved.run(golden_unit<double>("mla.x", 17 * 64));
    half_split.run(golden_unit<double>("mla.x", 17 * 64));
    CHECK(relative_error(half_split.y, interleaved.y) <= 1e-13);
}
