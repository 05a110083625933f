// SPDX-License-Identifier: MIT
// labels: unit grad
#include <deepseek/ops/swiglu.hpp>
#include <deepseek/testing/gradients.hpp>

#include "ops/backends.hpp"
#include "reference/rows.hpp"
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

constexpr index_t kRows = 67;
constexpr index_t kWidth = 150;  // two whole stretches of the backward pass and a part of one

}  // namespace

TEST_CASE_TEMPLATE("swiglu: agrees with its formula", T, float, double) {
    for (auto const deviation : {1e-3, 1.0, 30.0}) {
        auto const gate = Table<T, kWidth>::random(kRows, 1, deviation);
        auto const up = Table<T, kWidth>::random(kRows, 2);
        auto const expected = reference::swiglu(gate.doubles(), up.doubles());
        on_every_backend(
            [&](auto& be) {
                auto act = on(be, Table<T, kWidth>(kRows));
                ds::ops::swiglu(be, act.view(), on(be, gate).view(), on(be, up).view());
                return act.back();
            },
            [&](Table<T, kWidth> const& act) {
                CHECK(difference(act.doubles(), expected) < rounding<T>(8));
                CHECK(act.guards_untouched());
            });
    }
}

TEST_CASE("swiglu: saturates without overflow, keeps NaN") {
    ds::Cpu cpu{{.threads = 1}};
    auto const infinity = std::numeric_limits<float>::infinity();
    float gate[6] = {-1e4F, 1e4F, -90, -infinity, infinity, std::numeric_limits<float>::quiet_NaN()};
    float up[6] = {1, 1, 1, 0, 1, 1};
    float act[6];
    ds::ops::swiglu(cpu, ds::Rows<float, 6>{act, 1}, {gate, 1}, {up, 1});
    CHECK(act[0] == 0);
    CHECK(act[1] == 1e4F);
    CHECK(act[2] == 0);
    CHECK(std::isnan(act[3]));  // -infinity · 0, as the formula has it
    CHECK(act[4] == infinity);
    CHECK(std::isnan(act[5]));
}

TEST_CASE("swiglu_backward: gradients agree with finite differences") {
    constexpr index_t rows = 2;
    auto const gate = Table<double, kWidth>::random(rows, 3, 2);
    auto const up = Table<double, kWidth>::random(rows, 4);
    auto const dact = Table<double, kWidth>::random(rows, 5);
    ds::Cpu cpu{{.threads = 1}};
    Table<double, kWidth> dgate(rows);
    Table<double, kWidth> dup(rows);
    ds::ops::swiglu_backward(cpu, dgate.view(), dup.view(), dact.view(), gate.view(), up.view());

    auto u = gate.doubles();
    auto v = up.doubles();
    auto const weights = dact.doubles();
    auto const loss = [&] {
        auto const act = reference::swiglu(u, v);
        double sum = 0;
        for (std::size_t i = 0; i < act.size(); ++i) {
            sum += act[i] * weights[i];
        }
        return sum;
    };
    auto const of_gate = dgate.doubles();
    auto const of_up = dup.doubles();
    auto const count = rows * kWidth;
    CHECK(ds::testing::compare_gradient("gate", u.data(), of_gate.data(), count, loss).error < 1e-8);
    CHECK(ds::testing::compare_gradient("up", v.data(), of_up.data(), count, loss).error < 1e-8);
}

TEST_CASE_TEMPLATE("swiglu_backward: in place, with and without the value", T, float, double) {
    auto const gate = Table<T, kWidth>::random(kRows, 6, 2);
    auto const up = Table<T, kWidth>::random(kRows, 7);
    auto const dact = Table<T, kWidth>::random(kRows, 8);
    std::vector<double> of_gate;
    std::vector<double> of_up;
    {
        auto const u = gate.doubles();
        auto const v = up.doubles();
        auto const d = dact.doubles();
        for (std::size_t i = 0; i < u.size(); ++i) {
            auto const s = 1 / (1 + std::exp(-u[i]));
            of_gate.push_back(d[i] * v[i] * s * (1 + u[i] * (1 - s)));
            of_up.push_back(d[i] * u[i] * s);
        }
    }
    // The gradients in the memory of gate and up, as layers do, and in that of dact.
    on_every_backend(
        [&](auto& be) {
            auto a = on(be, gate);
            auto b = on(be, up);
            ds::ops::swiglu_backward(be, a.view(), b.view(), on(be, dact).view(), a.view(), b.view());
            CHECK(difference(b.back().doubles(), of_up) < rounding<T>(8));
            CHECK(b.back().guards_untouched());
            return a.back();
        },
        [&](Table<T, kWidth> const& a) {
            CHECK(difference(a.doubles(), of_gate) < rounding<T>(16));
            CHECK(a.guards_untouched());
        });
    on_every_backend(
        [&](auto& be) {
            auto d = on(be, dact);
            auto b = on(be, up);
            auto value = on(be, gate);
            ds::ops::swiglu_backward(be, d.view(), b.view(), value.view(), d.view(), value.view(), b.view());
            CHECK(difference(value.back().doubles(), reference::swiglu(gate.doubles(), up.doubles())) <
                  rounding<T>(8));
            CHECK(difference(b.back().doubles(), of_up) < rounding<T>(8));
            CHECK(value.back().guards_untouched());
            return d.back();
        },
        [&](Table<T, kWidth> const& d) {
            CHECK(difference(d.doubles(), of_gate) < rounding<T>(16));
            CHECK(d.guards_untouched());
        });
}

TEST_CASE("swiglu: row counts must agree, and no rows are fine") {
    ds::Cpu cpu{{.threads = 1}};
    Table<float, 4> two(2);
    Table<float, 4> three(3);
    CHECK_THROWS_WITH_AS(ds::ops::swiglu(cpu, two.view(), two.view(), three.view()),
                         "swiglu: act has 2 rows, gate has 2, up has 3", ds::ShapeError);
    CHECK_THROWS_AS(
        ds::ops::swiglu_backward(cpu, two.view(), two.view(), two.view(), three.view(), two.view()),
        ds::ShapeError);
    CHECK_THROWS_AS(ds::ops::swiglu_backward(cpu, two.view(), two.view(), three.view(), two.view(),
                                             two.view(), two.view()),
                    ds::ShapeError);
    ds::Rows<float, 4> const none{};
    CHECK_NOTHROW(ds::ops::swiglu(cpu, none, none, none));
    CHECK_NOTHROW(ds::ops::swiglu_backward(cpu, none, none, none, none, none));
    CHECK_NOTHROW(ds::ops::swiglu_backward(cpu, none, none, none, none, none, none));
}
