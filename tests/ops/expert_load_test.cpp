// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/ops/expert_load.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <vector>

namespace ds = deepseek;

namespace {

// Routers of three and of four experts, between other tensors of a set of twelve elements.
constexpr std::array<ds::Segment, 2> kTable{
    {{.begin = 2, .size = 3}, {.begin = 6, .size = 4, .blocks_before = 1, .elements_before = 3}}};
constexpr ds::Segments kRouters{kTable.data(), 2, 2, 7};

}  // namespace

TEST_CASE_TEMPLATE("collect_loads: counts are added, exactly, and their places become zero gradients", T,
                   float, double) {
    ds::Cpu cpu{{.threads = 2}};
    std::vector<T> gradients(12, T{0.5});
    auto const count = [&](std::size_t i, std::uint32_t n) { gradients[i] = ds::as_value<T>(n); };
    count(2, 0xFFFF'FFFFU);
    count(3, (1U << 24U) + 1);
    count(4, 0);
    for (std::size_t e = 0; e < 4; ++e) {
        count(6 + e, static_cast<std::uint32_t>(e));
    }
    std::vector<double> loads(7, 100);
    ds::ops::collect_loads(cpu, loads.data(), gradients.data(), kRouters);
    CHECK(loads == std::vector<double>{100.0 + 0xFFFF'FFFFU, 100 + 0x1p24 + 1, 100, 100, 101, 102, 103});
    CHECK(gradients == std::vector<T>{0.5, 0.5, 0, 0, 0, 0.5, 0, 0, 0, 0, 0.5, 0.5});
}

TEST_CASE_TEMPLATE(
    "update_biases: towards its router's mean load by one speed, not at the mean, and nothing else", T, float,
    double) {
    ds::Cpu cpu{{.threads = 2}};
    std::vector<T> weights(12, T{0.5});
    std::vector<double> const loads{0x1p24 + 1, 0x1p24, 0x1p24, 6, 4, 2, 4};
    ds::ops::update_biases(cpu, weights.data(), loads.data(), kRouters, 0.25);
    CHECK(weights == std::vector<T>{0.5, 0.5, 0.25, 0.75, 0.75, 0.5, 0.25, 0.5, 0.75, 0.5, 0.5, 0.5});
    ds::ops::update_biases(cpu, weights.data(), loads.data(), kRouters, 0.0);
    CHECK(weights[2] == T{0.25});
}

TEST_CASE_TEMPLATE(
    "update_biases: the mean of a router's changes can be taken from them; the speed is a double", T, float,
    double) {
    ds::Cpu cpu{{.threads = 1}};
    std::vector<T> weights(12);
    std::vector<double> const loads{1, 1, 1, 8, 2, 3, 3};  // of the second, one falls and three rise
    ds::ops::update_biases(cpu, weights.data(), loads.data(), kRouters, 0.25, true);
    CHECK(weights == std::vector<T>{0, 0, 0, 0, 0, 0, -0.375, 0.125, 0.125, 0.125, 0, 0});
    ds::ops::update_biases(cpu, weights.data(), std::vector<double>{2, 0, 1, 1, 1, 1, 1}.data(), kRouters,
                           1e-3);
    CHECK(weights[2] == static_cast<T>(-1e-3));
    CHECK(weights[3] == static_cast<T>(1e-3));
    CHECK(weights[4] == 0);
}

TEST_CASE("expert loads: a model without routers is fine") {
    ds::Cpu cpu{{.threads = 1}};
    CHECK_NOTHROW(ds::ops::collect_loads(cpu, nullptr, static_cast<float*>(nullptr), ds::Segments{}));
    CHECK_NOTHROW(ds::ops::update_biases(cpu, static_cast<float*>(nullptr), nullptr, ds::Segments{}, 1));
}
