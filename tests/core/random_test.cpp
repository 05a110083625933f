// SPDX-License-Identifier: MIT
#include <deepseek/core/random.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>

namespace ds = deepseek;

TEST_CASE("RandomKey: a value depends on seed, use and counter alone") {
    ds::RandomKey const key{ds::Seed{7}};
    CHECK(key.bits(5) == ds::RandomKey{ds::Seed{7}}.bits(5));
    CHECK(key.bits(5) != key.bits(6));
    CHECK(key.bits(5) != ds::RandomKey{ds::Seed{8}}.bits(5));
    CHECK(key.fork(1).bits(5) != key.fork(2).bits(5));
    CHECK(key.fork(1).fork(2).bits(5) != key.fork(2).fork(1).bits(5));
}

// Means of n independent numbers are within five standard errors of what they should be.
TEST_CASE("RandomKey: uniform and normal numbers have the moments of their distributions") {
    ds::RandomKey const key{ds::Seed{1}};
    constexpr int n = 200'000;
    double uniform = 0;
    double uniform2 = 0;
    double normal = 0;
    double normal2 = 0;
    double normal4 = 0;
    double neighbours = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
        auto const u = key.uniform(i);
        REQUIRE(u >= 0);
        REQUIRE(u < 1);
        auto const x = key.normal(i);
        uniform += u / n;
        uniform2 += u * u / n;
        normal += x / n;
        normal2 += x * x / n;
        normal4 += x * x * x * x / n;
        neighbours += x * key.normal(i + 1) / n;
    }
    auto const within = [](double found, double expected, double variance) {
        CHECK(std::abs(found - expected) < 5 * std::sqrt(variance / n));
    };
    within(uniform, 0.5, 1.0 / 12);
    within(uniform2, 1.0 / 3, 4.0 / 45);
    within(normal, 0, 1);
    within(normal2, 1, 2);
    within(normal4, 3, 96);
    within(neighbours, 0, 1);
}

TEST_CASE("Dropout: drops at its rate, keeps the mean, and repeats") {
    ds::Dropout const dropout{.rate = 0.25, .key = ds::RandomKey{ds::Seed{3}}};
    constexpr int n = 100'000;
    int dropped = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
        auto const factor = dropout.factor<float>(i);
        REQUIRE((factor == 0 || factor == 1 / 0.75F));
        REQUIRE(factor == dropout.factor<float>(i));
        dropped += factor == 0;
    }
    CHECK(std::abs(dropped / static_cast<double>(n) - 0.25) < 5 * std::sqrt(0.25 * 0.75 / n));
    CHECK(dropout.active());
    CHECK_FALSE(ds::Dropout{}.active());
}
