// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/ops/route.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

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

namespace {

constexpr index_t kSequences = 3;
constexpr index_t kLength = 9;
constexpr index_t kExperts = 72;  // a stretch of any vector and a part of one
constexpr index_t kTopK = 5;

constexpr ds::Routing kSigmoid{.scale = 2.5};
constexpr ds::Routing kGroups{.groups = 6, .groups_kept = 2, .scale = 2.5};
constexpr ds::Routing kSoftmax{.scoring = ds::Scoring::softmax, .normalize = false, .scale = 4};

// The first `count` experts by score, ties by index: by sorting all of them.
std::vector<std::size_t> best(std::vector<double> const& score, std::size_t count) {
    std::vector<std::size_t> order(score.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return score[a] > score[b]; });
    order.resize(count);
    return order;
}

std::vector<double> row_of(std::vector<double> const& all, index_t row, index_t width) {
    return {all.begin() + row * width, all.begin() + (row + 1) * width};
}

// Affinities of positive and negative logits, as route leaves them.
template <class T>
Table<T, kExperts> random_scores(std::uint64_t seed) {
    auto scores = Table<T, kExperts>::random(kSequences * kLength, seed);
    for (index_t t = 0; t < scores.rows(); ++t) {
        for (index_t e = 0; e < kExperts; ++e) {
            scores(t, e) = ds::convert<T>(1 / (1 + std::exp(-wide(scores(t, e)))));
        }
    }
    return scores;
}

template <class T>
struct Routed {
    Table<T, kExperts> scores;
    Table<std::int32_t, kTopK> chosen;
    Table<T, kTopK> gates;

    friend bool same_bits(Routed const& a, Routed const& b) {
        return same_bits(a.scores, b.scores) && same_bits(a.chosen, b.chosen) && same_bits(a.gates, b.gates);
    }
};

}  // namespace

TEST_CASE_TEMPLATE("route: affinities, choice and gates of many tokens, as sorting finds them", T, float,
                   double, ds::bf16) {
    using S = ds::accumulate_t<T>;
    auto const logits = Table<T, kExperts>::random(kSequences * kLength, 1, 2);
    auto const random_bias = Table<S, kExperts>::random(1, 2, 0.3);
    std::vector<S> const bias(random_bias.view().data, random_bias.view().data + kExperts);
    for (auto const& routing : {kSigmoid, kGroups, kSoftmax}) {
        CAPTURE(routing.groups);
        bool const softmax = routing.scoring == ds::Scoring::softmax;
        on_every_backend(
            [&](auto& be) {
                auto scores = on(be, logits);
                auto chosen = on(be, Table<std::int32_t, kTopK>(logits.rows()));
                auto gates = on(be, Table<T, kTopK>(logits.rows()));
                auto const b = on(be, bias);
                ds::ops::route(be, scores.view(), b.data(), chosen.view(), gates.view(), routing);
                return Routed<T>{scores.back(), chosen.back(), gates.back()};
            },
            [&](Routed<T> const& given) {
                CHECK(given.scores.guards_untouched());
                CHECK(given.chosen.guards_untouched());
                CHECK(given.gates.guards_untouched());
                auto affinities = logits.doubles();
                for (index_t t = 0; t < logits.rows(); ++t) {
                    auto* const x = affinities.data() + t * kExperts;
                    double sum = 0;
                    for (index_t e = 0; e < kExperts; ++e) {
                        x[e] = softmax ? std::exp(x[e]) : 1 / (1 + std::exp(-x[e]));
                        sum += x[e];
                    }
                    for (index_t e = 0; e < kExperts && softmax; ++e) {
                        x[e] /= sum;
                    }
                }
                // An exponential, a sum of 72, a quotient; and the rounding to T.
                CHECK(difference(given.scores.doubles(), affinities) < rounding<S>(8 + 72) + rounding<T>(1));

                auto const all = given.scores.doubles();
                std::vector<double> expected;  // experts and gates
                for (index_t t = 0; t < logits.rows(); ++t) {
                    auto const s = row_of(all, t, kExperts);
                    std::vector<double> z;  // biased in the type that it is compared in
                    for (std::size_t e = 0; e < kExperts; ++e) {
                        z.push_back(double{static_cast<S>(s[e]) + bias[e]});
                    }
                    auto const size = kExperts / static_cast<std::size_t>(routing.groups);
                    std::vector<double> group;
                    for (std::size_t g = 0; g < kExperts; g += size) {
                        std::vector<double> const members(z.begin() + static_cast<index_t>(g),
                                                          z.begin() + static_cast<index_t>(g + size));
                        auto const two = best(members, 2);
                        group.push_back(members[two[0]] + members[two[1]]);
                    }
                    auto const kept = best(group, static_cast<std::size_t>(routing.groups_kept));
                    for (std::size_t e = 0; e < kExperts; ++e) {
                        if (std::find(kept.begin(), kept.end(), e / size) == kept.end()) {
                            z[e] = -std::numeric_limits<double>::infinity();
                        }
                    }
                    auto chosen = best(z, kTopK);
                    std::sort(chosen.begin(), chosen.end());
                    double sum = 0;
                    for (auto const e : chosen) {
                        sum += s[e];
                    }
                    for (index_t k = 0; k < kTopK; ++k) {
                        auto const e = chosen[static_cast<std::size_t>(k)];
                        REQUIRE(given.chosen(t, k) == static_cast<std::int32_t>(e));
                        expected.push_back(s[e] * routing.scale / (routing.normalize ? sum : 1));
                    }
                }
                CHECK(difference(given.gates.doubles(), expected) < rounding<S>(8) + rounding<T>(1));
            });
    }
}

TEST_CASE_TEMPLATE(
    "route_backward: gates and balance, through sigmoid and softmax; ignored tokens balance nothing", T,
    float, double, ds::bf16) {
    using S = ds::accumulate_t<T>;
    auto const rows = kSequences * kLength;
    auto const scores = random_scores<T>(3);
    auto const dgates = Table<T, kTopK>::random(rows, 4);
    auto const load = Table<S, kExperts>::random(kSequences, 5);
    Table<std::int32_t, kTopK> chosen(rows);
    std::vector<ds::Token> targets;
    for (index_t t = 0; t < rows; ++t) {
        targets.push_back(t % 4 == 1 ? -1 : 7);
        for (index_t k = 0; k < kTopK; ++k) {
            chosen(t, k) = static_cast<std::int32_t>((t + 13 * k) % kExperts);
        }
    }
    constexpr double kScale = 0.75;
    for (auto const& routing : {kSigmoid, kSoftmax}) {
        for (bool const balances : {false, true}) {
            CAPTURE(balances);
            bool const softmax = routing.scoring == ds::Scoring::softmax;
            std::vector<double> expected;
            for (index_t t = 0; t < rows; ++t) {
                auto const s = row_of(scores.doubles(), t, kExperts);
                auto const f = row_of(load.doubles(), t / kLength, kExperts);
                std::vector<double> d(kExperts);  // gradient of s
                double sum = 0;
                double along = 0;
                for (index_t k = 0; k < kTopK; ++k) {
                    auto const at = s[static_cast<std::size_t>(chosen(t, k))];
                    sum += at;
                    along += double{wide(dgates(t, k))} * at;
                }
                for (index_t k = 0; k < kTopK; ++k) {
                    auto const dgate = double{wide(dgates(t, k))};
                    d[static_cast<std::size_t>(chosen(t, k))] =
                        routing.scale * (routing.normalize ? (dgate - along / sum) / sum : dgate);
                }
                if (balances && t % 4 != 1) {
                    auto const total = std::accumulate(s.begin(), s.end(), 0.0);
                    auto const weighted = std::inner_product(s.begin(), s.end(), f.begin(), 0.0);
                    for (std::size_t e = 0; e < kExperts; ++e) {
                        d[e] += kScale * (f[e] / total - weighted / (total * total));
                    }
                }
                auto const mean = std::inner_product(s.begin(), s.end(), d.begin(), 0.0);
                for (std::size_t e = 0; e < kExperts; ++e) {
                    expected.push_back(softmax ? s[e] * (d[e] - mean) : s[e] * (1 - s[e]) * d[e]);
                }
            }
            on_every_backend(
                [&](auto& be) {
                    auto dlogits = on(be, Table<T, kExperts>(rows));
                    auto const f = on(be, load);
                    auto const dg = on(be, dgates);
                    auto const s = on(be, scores);
                    auto const id = on(be, chosen);
                    auto const y = on(be, targets);
                    auto const none = ds::Rows<S const, kExperts>{};
                    ds::ops::route_backward(be, dlogits.view(), dg.view(), s.view(), id.view(), routing,
                                            balances ? f.view() : none, static_cast<S>(kScale), kLength,
                                            y.data());
                    return dlogits.back();
                },
                [&](Table<T, kExperts> const& dlogits) {
                    CHECK(difference(dlogits.doubles(), expected) < rounding<S>(72) + rounding<T>(1));
                    CHECK(dlogits.guards_untouched());
                });
        }
    }
}

TEST_CASE_TEMPLATE("balance_loss: counts exactly whatever the scores' type, over the tokens that count", T,
                   float, double, ds::bf16) {
    using S = ds::accumulate_t<T>;
    auto const rows = kSequences * kLength;
    auto const scores = random_scores<T>(6);
    std::vector<ds::Token> targets(static_cast<std::size_t>(rows), 1);
    targets[1] = -1;
    std::fill_n(targets.begin() + kLength, kLength, -1);  // nothing counts in the second sequence
    std::vector<double> const weights{0.25, 0, 0.75};
    std::vector<double> expected;  // loads and loss of each sequence
    for (index_t sequence = 0; sequence < kSequences; ++sequence) {
        std::vector<double> f(kExperts), mean(kExperts);
        double tokens = 0;
        for (auto t = sequence * kLength; t < (sequence + 1) * kLength; ++t) {
            if (targets[static_cast<std::size_t>(t)] >= 0) {
                ++tokens;
                auto const s = row_of(scores.doubles(), t, kExperts);
                auto const sum = std::accumulate(s.begin(), s.end(), 0.0);
                for (auto const e : best(s, kTopK)) {
                    f[e] += 1;
                }
                for (std::size_t e = 0; e < kExperts; ++e) {
                    mean[e] += s[e] / sum;
                }
            }
        }
        double loss = 0;
        for (std::size_t e = 0; e < kExperts; ++e) {
            f[e] *= tokens > 0
                        ? weights[static_cast<std::size_t>(sequence)] * kExperts / (kTopK * tokens * tokens)
                        : 0;
            loss += f[e] * mean[e];
        }
        expected.insert(expected.end(), f.begin(), f.end());
        expected.push_back(loss);
    }
    on_every_backend(
        [&](auto& be) {
            auto load = on(be, Table<S, kExperts>(kSequences));
            auto loss = on(be, Table<S, 1>(kSequences));
            auto const s = on(be, scores);
            auto const y = on(be, targets);
            auto const w = on(be, weights);
            ds::ops::balance_loss<kTopK>(be, load.view(), loss.view(), s.view(), y.data(), w.data());
            CHECK(load.back().guards_untouched());
            CHECK(loss.back().guards_untouched());
            std::vector<double> all;
            for (index_t sequence = 0; sequence < kSequences; ++sequence) {
                auto const f = row_of(load.back().doubles(), sequence, kExperts);
                all.insert(all.end(), f.begin(), f.end());
                all.push_back(loss.back().doubles()[static_cast<std::size_t>(sequence)]);
            }
            return all;
        },
        [&](std::vector<double> const& all) { CHECK(difference(all, expected) < rounding<S>(72)); });
}

TEST_CASE("sequence_weights: shares of the targets that count; 0 where none does") {
    std::vector<ds::Token> const targets{1, -1, 3, -1, -1, -1, 0, 7, 9};
    on_every_backend(
        [&](auto& be) {
            auto weights = on(be, std::vector<double>(3, -1));
            auto const y = on(be, targets);
            ds::ops::sequence_weights(be, weights.data(), y.data(), 3, 3);
            return weights.back();
        },
        [](std::vector<double> const& weights) {
            CHECK(weights == std::vector<double>{0.4, 0, 0.6});
        });
}

TEST_CASE("router: wrong extents are refused, and no tokens are fine") {
    ds::Cpu cpu{{.threads = 1}};
    Table<float, kExperts> two(2), three(3), none(0);
    Table<float, kTopK> gates(2), no_gates(0);
    Table<std::int32_t, kTopK> chosen(2), no_choice(0);
    CHECK_THROWS_WITH_AS(ds::ops::route(cpu, three.view(), nullptr, chosen.view(), gates.view(), {}),
                         "route: logits have 3 rows, chosen 2, gates 2", ds::ShapeError);
    CHECK_THROWS_WITH_AS(ds::ops::route_backward(cpu, two.view(), gates.view(), two.view(), chosen.view(), {},
                                                 three.view(), 1, 1),
                         "route_backward: 2 rows are not 3 sequences of 1", ds::ShapeError);
    CHECK_THROWS_AS(ds::ops::balance_loss<kTopK>(cpu, two.view(), Table<float, 1>(2).view(), three.view()),
                    ds::ShapeError);
    CHECK_NOTHROW(ds::ops::route(cpu, none.view(), nullptr, no_choice.view(), no_gates.view(), {}));
    CHECK_NOTHROW(ds::ops::route_backward(cpu, none.view(), no_gates.view(), none.view(), no_choice.view(),
                                          {}, {}, 1, 0));
}
