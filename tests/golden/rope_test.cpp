// SPDX-License-Identifier: MIT
// labels: golden
// Rotary tables against transformers: rows 4 to 6 of the specification's list.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/rope.hpp>
#include <deepseek/ops/rope.hpp>
#include <deepseek/ops/rotary_table.hpp>

#include "golden/golden.hpp"
#include "golden/golden_models.hpp"
#include "golden/golden_weights.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace deepseek_tests;
namespace ds = deepseek;

namespace {

constexpr ds::Rope released(double mscale) {
    return {.yarn = {.factor = 40, .original_length = 4096, .mscale = mscale, .mscale_all_dim = mscale}};
}

/// Frequencies within `ulps` of transformers' own, which it computes in float; the scale of scores. Then cosines and
/// sines, from transformers' frequencies: at position 131071 an ulp of a frequency moves the angle by up to 8e-3.
template <index_t Dim>
void check(std::string const& name, ds::Rope const& rope, index_t qk_dim, double ulps) {
    INFO(name);
    Fixture const fixture("layers");
    auto const frequencies = fixture.doubles("rope." + name + ".inv_freq");
    ds::ops::RotaryTable<Dim> table{rope};
    for (index_t i = 0; i < Dim / 2; ++i) {
        auto const expected = static_cast<float>(frequencies[static_cast<std::size_t>(i)]);
        auto const ulp = std::nextafter(expected, 2.0F) - expected;
        CHECK(std::abs(table.inverse_frequency[i] - expected) <= static_cast<float>(ulps) * ulp);
        table.inverse_frequency[i] = expected;
    }
    CHECK(table.attention_factor == 1);
    auto const scale = fixture.scalar("rope." + name + ".scale");
    CHECK(std::abs(ds::ops::softmax_scale(qk_dim, rope) - scale) <= 1e-15);

    ds::Cpu cpu{{.threads = 1}};
    auto const positions = fixture.ints("rope.positions");
    auto const cosines = fixture.doubles("rope." + name + ".cos");
    auto const sines = fixture.doubles("rope." + name + ".sin");
    for (std::size_t p = 0; p < positions.size(); ++p) {
        std::vector<float> v(Dim);
        for (std::size_t i = 0; i < Dim; i += 2) {
            v[i] = 1;  // the pair (1, 0) turns into (cos, sin)
        }
        ds::ops::rotate<1, Dim, 0>(cpu, ds::Rows<float, Dim>{v.data(), 1, Dim}, table, 1, positions[p]);
        for (std::size_t i = 0; i < Dim / 2; ++i) {
            CAPTURE(positions[p]);
            CAPTURE(i);
            CHECK(std::abs(static_cast<double>(v[2 * i]) - cosines[p * Dim / 2 + i]) <= 2e-6);
            CHECK(std::abs(static_cast<double>(v[2 * i + 1]) - sines[p * Dim / 2 + i]) <= 2e-6);
        }
    }
}

}  // namespace

TEST_CASE("RotaryTable: frequencies, cosines and scale equal transformers without YaRN") {
    check<64>("plain", {}, 192, 1);
    check<64>("moonlight", {.theta = 50'000}, 192, 1);
    check<8>("t1", {}, 24, 1);
}

TEST_CASE("RotaryTable: frequencies, cosines and scale equal transformers with YaRN") {
    // Transformers' formula rounds four times where ours rounds once.
    check<64>("v3", released(1.0), 192, 2);
    check<64>("v2_lite", released(0.707), 192, 2);
    check<8>("t3", yarn(1.0).rope, 24, 2);
    check<8>("t4", yarn(0.707).rope, 24, 2);
}

TEST_CASE_TEMPLATE("rotate: both layouts equal the restatement", T, float, double) {
    Fixture const fixture("layers");
    auto const positions = fixture.ints("rope.rotated.positions");
    ds::Cpu cpu{{.threads = 1}};
    for (bool const interleaved : {true, false}) {
        CAPTURE(interleaved);
        ds::ops::RotaryTable<8> const table{{.interleaved = interleaved}};
        auto x = golden_unit<T>("rope.x", 3 * 8);
        auto const original = x;
        for (index_t row = 0; row < 3; ++row) {
            ds::ops::rotate<1, 8, 0>(cpu, ds::Rows<T, 8>{x.data() + row * 8, 1, 8}, table, 1,
                                     positions[static_cast<std::size_t>(row)]);
        }
        auto const tolerance = 8 * static_cast<double>(std::numeric_limits<T>::epsilon());
        auto const name = interleaved ? "rope.rotated.interleaved" : "rope.rotated.half_split";
        CHECK(scaled_error(x, fixture.doubles(name)) <= tolerance);
        for (index_t row = 0; row < 3; ++row) {
            ds::ops::rotate<1, 8, 0>(cpu, ds::Rows<T, 8>{x.data() + row * 8, 1, 8}, table, 1,
                                     positions[static_cast<std::size_t>(row)], ds::ops::Direction::backward);
        }
        CHECK(scaled_error(x, original) <= tolerance);
    }
}

TEST_CASE("rotate: the specification's vector") {
    ds::Cpu cpu{{.threads = 1}};
    for (bool const interleaved : {true, false}) {
        std::vector<double> v{1, 2, 3, 4};
        ds::ops::RotaryTable<4> const table{{.interleaved = interleaved}};
        ds::ops::rotate<1, 4, 0>(cpu, ds::Rows<double, 4>{v.data(), 1, 4}, table, 1, 3);
        std::vector<double> const expected =
            interleaved ? std::vector<double>{-1.27223251, -1.83886499, 2.87866810, 4.08818664}
                        : std::vector<double>{-1.41335252, 1.87911807, -2.82885748, 4.05819114};
        CHECK(scaled_error(v, expected) <= 1e-8);
    }
}
