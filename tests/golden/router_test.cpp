// SPDX-License-Identifier: MIT
// labels: golden
// Routers against transformers: rows 17 to 19 and 22 of the specification's list.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/routing.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/ops/route.hpp>

#include "golden/golden.hpp"
#include "golden/golden_models.hpp"
#include "golden/golden_weights.hpp"
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

using namespace deepseek_tests;
namespace ds = deepseek;

namespace {

constexpr index_t kExperts = 16;
constexpr index_t kTopK = 4;
constexpr index_t kWidth = 64;

/// Layer 1's router on unit "router.x".
template <class T>
struct Router {
    ds::Routing routing;
    ds::Cpu cpu{{.threads = 1}};
    std::vector<T> x, weight, bias, scores, gates;
    std::vector<std::int32_t> chosen;

    Router(index_t tokens, ds::Routing const& options, int bias_set)
        : routing(options),
          x(golden_unit<T>("router.x", tokens * kWidth)),
          weight(kExperts * kWidth),
          bias(kExperts),
          scores(static_cast<std::size_t>(tokens * kExperts)),
          gates(static_cast<std::size_t>(tokens * kTopK)),
          chosen(gates.size()) {
        fill_golden("model.layers.1.mlp.gate.weight", std::span<T>(weight));
        fill_golden("model.layers.1.mlp.gate.e_score_correction_bias", std::span<T>(bias), bias_set);
        ds::ops::matmul_nt(cpu, rows<kExperts>(scores), rows<kWidth>(x), matrix());
        ds::ops::route(cpu, rows<kExperts>(scores), options.bias ? bias.data() : nullptr, rows<kTopK>(chosen),
                       rows<kTopK>(gates), routing);
    }

    template <index_t C, class U>
    static ds::Rows<U, C> rows(std::vector<U>& values) {
        return {values.data(), static_cast<index_t>(values.size()) / C, C};
    }
    ds::Matrix<T, kExperts, kWidth> matrix() { return {weight.data()}; }
};

template <class T>
void check_choice(std::string const& prefix, ds::Routing const& routing, int bias_set,
                  std::string const& gates) {
    Fixture const fixture("layers");
    auto const experts = fixture.ints(prefix + ".experts");
    auto const expected = fixture.doubles(prefix + gates);
    Router<T> router(1024, routing, bias_set);
    std::vector<T> compared(expected.size());  // 0 where the fixture has 0
    int asked = 0;
    for (std::size_t token = 0; token < experts.size(); ++token) {
        if (experts[token] == 0) {
            continue;  // too close to a tie
        }
        ++asked;
        index_t mask = 0;
        std::int32_t before = -1;
        for (std::size_t k = token * kTopK; k < (token + 1) * kTopK; ++k) {
            REQUIRE(router.chosen[k] > before);  // the order in which the fixture has the gates
            before = router.chosen[k];
            mask |= index_t{1} << before;
            if (k < compared.size()) {
                compared[k] = router.gates[k];
            }
        }
        INFO(prefix, ", token ", token);
        CHECK(mask == experts[token]);
    }
    CHECK(asked >= 1000);
    CHECK(scaled_error(compared, expected) <= (std::is_same_v<T, float> ? 1e-6 : 1e-13));
}

void check_choices(std::string const& prefix, ds::Routing const& routing, int bias_set,
                   std::string const& gates = ".gates") {
    check_choice<float>(prefix, routing, bias_set, gates);
    check_choice<double>(prefix, routing, bias_set, gates);
}

}  // namespace

TEST_CASE(
    "route: grouped sigmoid routing of 1000 tokens equals transformers, biases of mean 0 and of mean -0.6") {
    check_choices("router.t1.0", kRoutingT1, 0);
    check_choices("router.t1.1", kRoutingT1, 1);
}

TEST_CASE("route: sigmoid routing without groups equals transformers, biases of mean 0 and of mean -0.6") {
    check_choices("router.t2.0", kRoutingT2, 0);
    check_choices("router.t2.1", kRoutingT2, 1);
}

TEST_CASE("route: greedy softmax routing equals transformers; normalised, the published V2 code") {
    check_choices("router.t4.0", kRoutingT4, 0);
    auto normalized = kRoutingT4;
    normalized.normalize = true;
    check_choices("router.t4.0", normalized, 0, ".normalised");
}

TEST_CASE("route: group-limited softmax routing equals transformers; normalised, it is not scaled") {
    check_choices("router.t5.0", kRoutingT5, 0);
    auto normalized = kRoutingT5;
    normalized.normalize = true;
    check_choices("router.t5.0", normalized, 0, ".normalised");
}

TEST_CASE("route: the published example, in which a mask of zero chooses an excluded expert") {
    // Groups 0 and 3 are kept, with experts 0, 1, 6 and 7; the third best of these has a negative score.
    std::vector<double> const affinities{0.9, 0.2, 0.6, 0.5, 0.3, 0.8, 0.1, 0.7};
    std::vector<double> const bias{-1.0, 0, -0.7, -0.7, -1.2, -0.9, 0, -0.85};
    std::vector<std::int32_t> chosen(3);
    std::vector<double> gates(3);
    auto const route = [&](ds::Routing const& routing) {
        std::vector<double> logits;
        for (auto const affinity : affinities) {
            logits.push_back(std::log(affinity / (1 - affinity)));
        }
        ds::Cpu cpu{{.threads = 1}};
        ds::ops::route(cpu, ds::Rows<double, 8>{logits.data(), 1, 8}, bias.data(),
                       ds::Rows<std::int32_t, 3>{chosen.data(), 1, 3},
                       ds::Rows<double, 3>{gates.data(), 1, 3}, routing);
    };
    route({.groups = 4, .groups_kept = 2, .scale = 2.5});
    CHECK(chosen == std::vector<std::int32_t>{0, 1, 6});
    CHECK(scaled_error(gates, std::vector<double>{1.875, 0.5 / 1.2, 0.25 / 1.2}) <= 1e-12);

    route({.groups = 4, .groups_kept = 2, .scale = 2.5, .zero_mask = true});
    CHECK(chosen ==
          std::vector<std::int32_t>{1, 2, 6});  // experts 2 to 5 tie at 0, the first of them is taken
    CHECK(scaled_error(gates, std::vector<double>{0.5 / 0.9, 1.5 / 0.9, 0.25 / 0.9}) <= 1e-12);
}

TEST_CASE("route_backward: gradients of input and weight equal transformers") {
    Fixture const fixture("layers");
    for (std::string const name : {"t1", "t4"}) {
        CAPTURE(name);
        Router<double> router(16, name == "t1" ? kRoutingT1 : kRoutingT4, 0);
        auto dgates = golden_unit<double>("router.dgates", 16 * kTopK);
        std::vector<double> dlogits(16 * kExperts);
        std::vector<double> dx(16 * kWidth);
        std::vector<double> dweight(kExperts * kWidth);
        auto const d = router.rows<kExperts>(dlogits);
        ds::ops::route_backward(router.cpu, d, router.rows<kTopK>(dgates),
                                router.rows<kExperts>(router.scores), router.rows<kTopK>(router.chosen),
                                router.routing, {}, 0, 16);
        ds::ops::matmul_nn(router.cpu, router.rows<kWidth>(dx), d, router.matrix());
        ds::ops::matmul_tn(router.cpu, ds::Matrix<double, kExperts, kWidth>{dweight.data()}, d,
                           router.rows<kWidth>(router.x));
        CHECK(relative_error(dx, fixture.doubles("router." + name + ".0.dx")) <= 1e-12);
        CHECK(relative_error(dweight, fixture.doubles("router." + name + ".0.dweight")) <= 1e-12);
    }
}

TEST_CASE("balance_loss: value and gradient equal automatic differentiation; uniform use gives alpha") {
    Fixture const fixture("layers");
    constexpr double alpha = 0.01;
    constexpr index_t sequences = 2;
    constexpr index_t length = 16;
    Router<double> router(sequences * length, kRoutingT1, 0);
    std::vector<double> load(sequences * kExperts);
    std::vector<double> loss(sequences);
    auto const f = router.rows<kExperts>(load);
    ds::ops::balance_loss<kTopK>(router.cpu, f, router.rows<1>(loss), router.rows<kExperts>(router.scores));
    CHECK(std::abs(alpha * (loss[0] + loss[1]) - fixture.scalar("balance.loss")) <= 1e-12 * alpha);

    std::vector<double> dgates(sequences * length * kTopK);
    std::vector<double> dlogits(sequences * length * kExperts);
    std::vector<double> dx(sequences * length * kWidth);
    std::vector<double> dweight(kExperts * kWidth);
    auto const d = router.rows<kExperts>(dlogits);
    ds::ops::route_backward(router.cpu, d, router.rows<kTopK>(dgates), router.rows<kExperts>(router.scores),
                            router.rows<kTopK>(router.chosen), router.routing, f, alpha, length);
    ds::ops::matmul_nn(router.cpu, router.rows<kWidth>(dx), d, router.matrix());
    ds::ops::matmul_tn(router.cpu, ds::Matrix<double, kExperts, kWidth>{dweight.data()}, d,
                       router.rows<kWidth>(router.x));
    CHECK(relative_error(dx, fixture.doubles("balance.dx")) <= 1e-10);
    CHECK(relative_error(dweight, fixture.doubles("balance.dweight")) <= 1e-10);

    // Token t prefers experts t, t + 1, t + 2 and t + 3: over 16 tokens every expert is used alike.
    for (std::size_t i = 0; i < router.scores.size(); ++i) {
        router.scores[i] =
            (i % kExperts + kExperts - i / kExperts % kExperts) % kExperts < kTopK ? 0.75 : 0.25;
    }
    ds::ops::balance_loss<kTopK>(router.cpu, f, router.rows<1>(loss), router.rows<kExperts>(router.scores));
    CHECK(loss[0] == doctest::Approx(0.5).epsilon(1e-14));
    CHECK(loss[1] == doctest::Approx(0.5).epsilon(1e-14));
}
