// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/segments.hpp>
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

// A tensor of two whole blocks and a part of one, and one that does not decay, with something between and behind.
constexpr ds::Segment kMatrix{.begin = 0, .size = 2 * ds::Segment::kBlock + 5, .decays = true};
constexpr ds::Segment kGain{.begin = kMatrix.size + 11, .size = 123, .blocks_before = 3};
constexpr auto kCount = static_cast<std::size_t>(kGain.begin + kGain.size + 7);

enum class Kind { matrix, gain, outside };
Kind kind(std::size_t i) {
    auto const in = [i](ds::Segment const& segment) {
        auto const at = static_cast<index_t>(i);
        return at >= segment.begin && at < segment.begin + segment.size;
    };
    return in(kMatrix) ? Kind::matrix : in(kGain) ? Kind::gain : Kind::outside;
}

// One tensor, on the host.
struct One {
    ds::Segment segment;
    ds::Segments set;
    One(index_t size, bool decays) : segment{.size = size, .decays = decays}, set{&segment, 1, 1, size} {}
    One(One const&) = delete;
    One& operator=(One const&) = delete;
};

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

template <class T>
std::vector<double> expected(std::vector<T> const& weight, int steps) {
    std::vector<double> result(weight.begin(), weight.end());
    std::vector<reference::AdamW> state(kCount, kOptimizer);
    for (std::size_t i = 0; i < kCount; ++i) {
        state[i].weight_decay = kind(i) == Kind::matrix ? kOptimizer.weight_decay : 0;
    }
    for (int t = 1; t <= steps; ++t) {
        auto const g = gradients<T>(t);
        for (std::size_t i = 0; i < kCount; ++i) {
            if (kind(i) != Kind::outside) {
                result[i] = state[i].step(result[i], kClip * static_cast<double>(g[i]), t);
            }
        }
    }
    return result;
}

template <class T>
std::vector<T> trained(auto& be, std::vector<T> const& start, int steps) {
    auto weight = on(be, start);
    auto first = on(be, std::vector<T>(kCount));
    auto second = on(be, std::vector<T>(kCount));
    auto const table = on(be, std::vector<ds::Segment>{kMatrix, kGain});
    ds::Segments const segments{table.data(), 2, 4, kMatrix.size + kGain.size};
    for (int t = 1; t <= steps; ++t) {
        auto const g = on(be, gradients<T>(t));
        ds::ops::adamw(be, weight.data(), static_cast<T const*>(g.data()), first.data(), second.data(),
                       segments,
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

TEST_CASE("adamw: a gradient of zero only decays, and without decay changes nothing") {
    ds::Cpu cpu{{.threads = 1}};
    float weight[3] = {1, -2, 3};
    float const gradient[3] = {};
    float first[3] = {};
    float second[3] = {};
    One const matrix(3, true), gain(3, false);
    ds::ops::adamw(cpu, weight, gradient, first, second, matrix.set, {.rate = 0.1});
    CHECK(weight[1] == -2);
    ds::ops::adamw(cpu, weight, gradient, first, second, gain.set, {.rate = 0.1, .weight_decay = 0.5});
    CHECK(weight[1] == -2);
    ds::ops::adamw(cpu, weight, gradient, first, second, matrix.set, {.rate = 0.1, .weight_decay = 0.5});
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
    One const tensor(1, true);
    ds::ops::adamw(cpu, &weight, &gradient, &first, &second, tensor.set, {.rate = 0.1});
    CHECK(weight == 1);
    CHECK(std::isinf(second));
}

TEST_CASE("adamw: constants that would divide by zero are refused") {
    ds::Cpu cpu{{.threads = 1}};
    float value = 1;
    One const tensor(1, true);
    auto const step = [&](ds::ops::AdamWStep const& constants) {
        ds::ops::adamw(cpu, &value, &value, &value, &value, tensor.set, constants);
    };
    CHECK_THROWS_AS(step({.correction1 = 0}), ds::Error);
    CHECK_THROWS_AS(step({.correction2 = 0}), ds::Error);
    CHECK_THROWS_AS(step({.epsilon = 0}), ds::Error);
    CHECK(value == 1);
    CHECK_NOTHROW(ds::ops::adamw(cpu, &value, &value, &value, &value, ds::Segments{}, {}));
}
