// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/ops/expert_load.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

// Routers of three and of four experts, between other tensors of a set of twelve elements.
std::vector<ds::Segment> const kTable{{.begin = 2, .size = 3},
                                      {.begin = 6, .size = 4, .blocks_before = 1, .elements_before = 3}};

template <class B>
ds::Segments routers(PlacedVector<ds::Segment, B> const& table) {
    return {table.data(), 2, 2, 7};
}

// The weights after updates by `loads`.
template <class T, class... Settings>
std::vector<T> updated(auto& be, std::vector<T> const& before, std::vector<double> const& loads,
                       Settings... settings) {
    auto weights = on(be, before);
    auto const table = on(be, kTable);
    auto const counts = on(be, loads);
    ds::ops::update_biases(be, weights.data(), counts.data(), routers(table), settings...);
    return weights.back();
}

}  // namespace

TEST_CASE_TEMPLATE("collect_loads: counts are added, exactly, and their places become zero gradients", T,
                   float, double) {
    std::vector<T> before(12, T{0.5});
    auto const count = [&](std::size_t i, std::uint32_t n) { before[i] = ds::as_value<T>(n); };
    count(2, 0xFFFF'FFFFU);
    count(3, (1U << 24U) + 1);
    count(4, 0);
    for (std::size_t e = 0; e < 4; ++e) {
        count(6 + e, static_cast<std::uint32_t>(e));
    }
    on_every_backend(
        [&](auto& be) {
            auto loads = on(be, std::vector<double>(7, 100));
            auto gradients = on(be, before);
            auto const table = on(be, kTable);
            ds::ops::collect_loads(be, loads.data(), gradients.data(), routers(table));
            CHECK(gradients.back() == std::vector<T>{0.5, 0.5, 0, 0, 0, 0.5, 0, 0, 0, 0, 0.5, 0.5});
            return loads.back();
        },
        [](std::vector<double> const& loads) {
            CHECK(loads ==
                  std::vector<double>{100.0 + 0xFFFF'FFFFU, 100 + 0x1p24 + 1, 100, 100, 101, 102, 103});
        });
}

TEST_CASE_TEMPLATE(
    "update_biases: towards its router's mean load by one speed, not at the mean, and nothing else", T, float,
    double) {
    std::vector<T> const before(12, T{0.5});
    std::vector<double> const loads{0x1p24 + 1, 0x1p24, 0x1p24, 6, 4, 2, 4};
    on_every_backend(
        [&](auto& be) { return updated(be, before, loads, 0.25); },
        [](std::vector<T> const& weights) {
            CHECK(weights == std::vector<T>{0.5, 0.5, 0.25, 0.75, 0.75, 0.5, 0.25, 0.5, 0.75, 0.5, 0.5, 0.5});
        });
    on_every_backend([&](auto& be) { return updated(be, before, loads, 0.0); },
                     [&](std::vector<T> const& weights) { CHECK(weights == before); });
}

TEST_CASE_TEMPLATE(
    "update_biases: the mean of a router's changes can be taken from them; the speed is a double", T, float,
    double) {
    std::vector<T> const zeros(12);
    std::vector<double> const loads{1, 1, 1, 8, 2, 3, 3};  // of the second, one falls and three rise
    on_every_backend(
        [&](auto& be) { return updated(be, zeros, loads, 0.25, true); },
        [](std::vector<T> const& weights) {
            CHECK(weights == std::vector<T>{0, 0, 0, 0, 0, 0, -0.375, 0.125, 0.125, 0.125, 0, 0});
        });
    on_every_backend(
        [&](auto& be) {
            return updated(be, zeros, {2, 0, 1, 1, 1, 1, 1}, 1e-3);
        },
        [](std::vector<T> const& weights) {
            CHECK(weights[2] == static_cast<T>(-1e-3));
            CHECK(weights[3] == static_cast<T>(1e-3));
            CHECK(weights[4] == 0);
        });
}

TEST_CASE("expert loads: a model without routers is fine") {
    ds::Cpu cpu{{.threads = 1}};
    CHECK_NOTHROW(ds::ops::collect_loads(cpu, nullptr, static_cast<float*>(nullptr), ds::Segments{}));
    CHECK_NOTHROW(ds::ops::update_biases(cpu, static_cast<float*>(nullptr), nullptr, ds::Segments{}, 1));
}
