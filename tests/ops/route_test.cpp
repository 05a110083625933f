// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/ops/route.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace ds = deepseek;

namespace {

double logit(double s) { return std::log(s / (1 - s)); }

template <ds::index_t Experts, ds::index_t TopK>
struct Choice {
    std::int32_t chosen[TopK];
    double gates[TopK];
};

template <ds::index_t TopK, ds::index_t Experts>
Choice<Experts, TopK> route_one(double (&logits)[Experts], double const* bias, ds::Routing const& routing) {
    ds::Cpu cpu{{.threads = 1}};
    Choice<Experts, TopK> choice{};
    ds::ops::route(cpu, ds::Rows<double, Experts>{logits, 1}, bias,
                   ds::Rows<std::int32_t, TopK>{choice.chosen, 1}, ds::Rows<double, TopK>{choice.gates, 1},
                   routing);
    return choice;
}

}  // namespace

TEST_CASE(
    "route: groups are ranked by their two best, others are out even when all biased scores are negative") {
    double logits[8];
    double const scores[8] = {.9, .2, .6, .5, .3, .8, .1, .7};
    for (int e = 0; e < 8; ++e) {
        logits[e] = logit(scores[e]);
    }
    double const bias[8] = {-1.0, 0, -.7, -.7, -1.2, -.9, 0, -.85};
    auto const choice = route_one<3>(logits, bias, {.groups = 4, .groups_kept = 2, .scale = 2.5});
    CHECK(choice.chosen[0] == 0);
    CHECK(choice.chosen[1] == 1);
    CHECK(choice.chosen[2] == 6);
    CHECK(choice.gates[0] == doctest::Approx(1.875).epsilon(1e-6));
    CHECK(choice.gates[1] == doctest::Approx(0.416667).epsilon(1e-6));
    CHECK(choice.gates[2] == doctest::Approx(0.208333).epsilon(1e-6));
}

TEST_CASE("route: ties go to the lower index, saturated affinities included") {
    double logits[6] = {40, 41, 42, 43, 44, 45};  // sigmoid is exactly 1 for all
    auto const choice = route_one<2>(logits, nullptr, {});
    CHECK(choice.chosen[0] == 0);
    CHECK(choice.chosen[1] == 1);
}

TEST_CASE("route: a NaN is never preferred and never an invalid index") {
    auto const nan = std::numeric_limits<double>::quiet_NaN();
    double logits[4] = {nan, 0.5, nan, 0.25};
    auto const choice = route_one<2>(logits, nullptr, {});
    CHECK(choice.chosen[0] == 1);
    CHECK(choice.chosen[1] == 3);
    double all[4] = {nan, nan, nan, nan};
    auto const any = route_one<2>(all, nullptr, {});
    CHECK(any.chosen[0] == 0);
    CHECK(any.chosen[1] == 1);
}

TEST_CASE("route: softmax gates are the probabilities times the scale, or normalised without it") {
    double logits[3] = {1, 2, 3};
    double const sum = std::exp(-2) + std::exp(-1) + 1;
    auto const plain = route_one<2>(
        logits, nullptr, {.scoring = ds::Scoring::softmax, .normalize = false, .scale = 4, .bias = false});
    CHECK(plain.gates[0] == doctest::Approx(4 * std::exp(-1) / sum));
    CHECK(plain.gates[1] == doctest::Approx(4 / sum));
    double again[3] = {1, 2, 3};
    auto const normal =
        route_one<2>(again, nullptr, {.scoring = ds::Scoring::softmax, .scale = 4, .bias = false});
    CHECK(normal.gates[0] + normal.gates[1] == doctest::Approx(1));
}

TEST_CASE("balance loss: 1 when all experts are used alike, larger when one takes all") {
    ds::Cpu cpu{{.threads = 1}};
    constexpr ds::index_t kTokens = 8;
    std::vector<double> even(kTokens * 4), skewed(kTokens * 4);
    for (std::size_t t = 0; t < kTokens; ++t) {
        for (std::size_t e = 0; e < 4; ++e) {
            even[t * 4 + e] = e == t % 4 ? 0.5000001 : 0.5;
            skewed[t * 4 + e] = e == 0 ? 0.9 : 0.1;
        }
    }
    double load[4], loss[1];
    ds::Rows<double, 4> const f{load, 1};
    ds::Rows<double, 1> const l{loss, 1};
    ds::ops::balance_loss<1>(cpu, f, l, ds::Rows<double const, 4>{even.data(), kTokens});
    CHECK(loss[0] == doctest::Approx(1).epsilon(1e-6));
    ds::ops::balance_loss<1>(cpu, f, l, ds::Rows<double const, 4>{skewed.data(), kTokens});
    CHECK(loss[0] == doctest::Approx(4 * 0.9 / 1.2));
}

TEST_CASE("route: the scale of a double router is a double") {
    double logits[2] = {0, -1};
    auto const choice = route_one<1>(logits, nullptr, {.scale = 2.446});
    CHECK(choice.gates[0] == doctest::Approx(2.446).epsilon(1e-15));
}
