// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/ops/adamw.hpp>

#include "ops/backends.hpp"
#include "reference/rows.hpp"
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

constexpr index_t kRows = 71;
constexpr index_t kCols = 123;  // four whole blocks and a part of one
constexpr auto kCount = static_cast<std::size_t>(kRows * kCols);

template <class T>
std::vector<T> numbers(std::uint64_t seed, double deviation) {
    std::vector<T> all;
    auto const key = ds::RandomKey{ds::Seed{seed}};
    for (std::uint64_t i = 0; i < kCount; ++i) {
        all.push_back(ds::convert<T>(deviation * key.normal(i)));
    }
    return all;
}

// Gradients of every size an optimizer meets, and none.
template <class T>
std::vector<T> gradients(int t) {
    auto all = numbers<T>(100 + static_cast<std::uint64_t>(t), 1);
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i] = i % 11 == 0 ? T{0} : all[i] * static_cast<T>(std::pow(10.0, -static_cast<double>(i % 9)));
    }
    return all;
}

constexpr reference::AdamW kOptimizer{
    .rate = 3e-3, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1};
constexpr double kClip = 0.5;

template <class W>
std::vector<double> expected(std::vector<W> const& weight, int steps) {
    using S = ds::accumulate_t<W>;
    std::vector<double> result;
    std::vector<reference::AdamW> state(kCount, kOptimizer);
    for (auto const w : weight) {
        result.push_back(ds::convert<double>(w));
    }
    for (int t = 1; t <= steps; ++t) {
        auto const g = gradients<S>(t);
        for (std::size_t i = 0; i < kCount; ++i) {
            result[i] = state[i].step(result[i], kClip * static_cast<double>(g[i]), t);
        }
    }
    return result;
}

template <class W>
std::vector<W> trained(auto& be, std::vector<W> const& start, int steps) {
    using S = ds::accumulate_t<W>;
    auto weight = on(be, start);
    auto first = on(be, std::vector<S>(kCount));
    auto second = on(be, std::vector<S>(kCount));
    for (int t = 1; t <= steps; ++t) {
        auto const g = on(be, gradients<S>(t));
        ds::ops::adamw(be, ds::Matrix<W, kRows, kCols>{weight.data()},
                       ds::Matrix<S const, kRows, kCols>{g.data()}, ds::Matrix<S, kRows, kCols>{first.data()},
                       ds::Matrix<S, kRows, kCols>{second.data()},
                       {.rate = kOptimizer.rate,
                        .beta1 = kOptimizer.beta1,
                        .beta2 = kOptimizer.beta2,
                        .epsilon = kOptimizer.epsilon,
                        .weight_decay = kOptimizer.weight_decay,
                        .correction1 = 1 - std::pow(kOptimizer.beta1, t),
                        .correction2 = 1 - std::pow(kOptimizer.beta2, t),
                        .gradient_scale = kClip});
    }
    return weight.back();
}

}  // namespace

TEST_CASE_TEMPLATE("adamw: twenty steps follow the formula", T, float, double) {
    auto const start = numbers<T>(1, 0.02);
    auto const end = expected(start, 20);
    on_every_backend([&](auto& be) { return trained(be, start, 20); },
                     [&](std::vector<T> const& weight) {
                         std::vector<double> const given(weight.begin(), weight.end());
                         // per step, of values below 1: the weight's own rounding, and a few of an update below rate
                         CHECK(difference(given, end) < rounding<T>(20 * (0.3 + 8 * kOptimizer.rate)));
                     });
}

TEST_CASE("adamw: weights of bf16 move by what their rounding leaves") {
    auto const start = numbers<ds::bf16>(2, 0.02);
    auto const end = expected(start, 1);
    on_every_backend([&](auto& be) { return trained(be, start, 1); },
                     [&](std::vector<ds::bf16> const& weight) {
                         for (std::size_t i = 0; i < kCount; ++i) {
                             auto const error = std::abs(ds::convert<double>(weight[i]) - end[i]);
                             REQUIRE(error <= 0x1.01p-8 * std::abs(end[i]) + 1e-9);
                         }
                     });
}

TEST_CASE("adamw: a gradient of zero only decays, and without decay changes nothing") {
    ds::Cpu cpu{{.threads = 1}};
    float weight[3] = {1, -2, 3};
    float const gradient[3] = {};
    float first[3] = {};
    float second[3] = {};
    ds::ops::adamw(cpu, weight, gradient, first, second, 3, {.rate = 0.1});
    CHECK(weight[1] == -2);
    ds::ops::adamw(cpu, weight, gradient, first, second, 3, {.rate = 0.1, .weight_decay = 0.5});
    CHECK(weight[1] == doctest::Approx(-1.9));
    CHECK(first[1] == 0);
    CHECK(second[1] == 0);
}

TEST_CASE("adamw: a gradient too large to square stops the element instead of breaking it") {
    ds::Cpu cpu{{.threads = 1}};
    float weight = 1;
    float const gradient = 1e30F;
    float first = 0;
    float second = 0;
    ds::ops::adamw(cpu, &weight, &gradient, &first, &second, 1, {.rate = 0.1});
    CHECK(weight == 1);
    CHECK(std::isinf(second));
}

TEST_CASE("adamw: constants that would divide by zero are refused") {
    ds::Cpu cpu{{.threads = 1}};
    float value = 1;
    auto const step = [&](ds::ops::AdamWStep const& constants) {
        ds::ops::adamw(cpu, &value, &value, &value, &value, 1, constants);
    };
    CHECK_THROWS_AS(step({.correction1 = 0}), ds::Error);
    CHECK_THROWS_AS(step({.correction2 = 0}), ds::Error);
    CHECK_THROWS_AS(step({.epsilon = 0}), ds::Error);
    CHECK(value == 1);
    CHECK_NOTHROW(ds::ops::adamw(cpu, &value, &value, &value, &value, 0, {}));
}
