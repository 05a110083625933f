// SPDX-License-Identifier: MIT
// labels: unit grad
#include <deepseek/core/dtype.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/rms_norm.hpp>
#include <deepseek/testing/gradients.hpp>

#include "ops/backends.hpp"
#include "reference/rows.hpp"
#include <doctest/doctest.h>

#include <cmath>
#include <utility>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

constexpr index_t kRows = 133;  // four whole blocks of the backward pass and a part of one
constexpr index_t kWidth = 147;

// Of a Table of one row, here or in the memory of a backend.
auto vector_of(auto&& one_row) {
    auto const row = one_row.view();
    return ds::Matrix<typename decltype(row)::element, kWidth>{row.data};
}

template <class T, class W>
Table<T, kWidth> norm(auto& be, Table<T, kWidth> const& x, Table<W, kWidth> const& gain, double epsilon,
                      Table<T, 1>& inverse_rms) {
    auto y = on(be, Table<T, kWidth>(x.rows()));
    auto inverse = on(be, Table<T, 1>(x.rows()));
    ds::ops::rms_norm(be, y.view(), on(be, x).view(), vector_of(on(be, gain)), inverse.view(), epsilon);
    inverse_rms = inverse.back();
    CHECK(inverse_rms.guards_untouched());
    return y.back();
}

template <class T, class W>
void check_forward(double deviation, double epsilon) {
    auto const x = Table<T, kWidth>::random(kRows, 1, deviation);
    auto gain = Table<W, kWidth>::random(1, 2);
    auto const expected = reference::rms_norm(x.doubles(), gain.doubles(), epsilon);
    on_every_backend(
        [&](auto& be) {
            Table<T, 1> inverse_rms(kRows);
            return norm(be, x, gain, epsilon, inverse_rms);
        },
        [&](Table<T, kWidth> const& y) {
            // half the sum's error (the root), the root's, a division and two products; at most kWidth / lanes + 5
            // additions follow each other
            CHECK(difference(y.doubles(), expected) < rounding<T>(kWidth / 32 + 10));
            CHECK(y.guards_untouched());
        });
}

}  // namespace

TEST_CASE_TEMPLATE("rms_norm: agrees with its formula for tiny, usual and huge rows", T, float, double) {
    for (auto const epsilon : {1e-6, 1e-5}) {
        for (auto const deviation : {1e-12, 1e-3, 1.0, 1e12}) {
            CAPTURE(epsilon);
            CAPTURE(deviation);
            check_forward<T, T>(deviation, epsilon);
        }
    }
}

TEST_CASE("rms_norm: a gain of bf16 acts as its value") { check_forward<float, ds::bf16>(1, 1e-6); }

TEST_CASE("rms_norm: a row of zeros stays zero") {
    ds::Cpu cpu{{.threads = 1}};
    Table<float, kWidth> x(2);
    ds::ops::fill(cpu, x.view(), 0);
    auto gain = Table<float, kWidth>::random(1, 2);
    Table<float, 1> inverse_rms(2);
    auto const y = norm(cpu, x, gain, 1e-6, inverse_rms);
    for (auto const value : y.doubles()) {
        CHECK(value == 0);
    }
    CHECK(inverse_rms(1, 0) == doctest::Approx(1000));
}

TEST_CASE_TEMPLATE("rms_norm: in place as elsewhere", T, float, double) {
    auto const x = Table<T, kWidth>::random(kRows, 3);
    auto gain = Table<T, kWidth>::random(1, 5);
    ds::Cpu cpu{{.threads = 2}};
    Table<T, 1> inverse_rms(kRows);
    auto const y = norm(cpu, x, gain, 1e-6, inverse_rms);
    auto in_place = x;
    ds::ops::rms_norm(cpu, in_place.view(), in_place.view(), vector_of(gain), inverse_rms.view(), 1e-6);
    CHECK(difference(in_place.doubles(), y.doubles()) < rounding<T>(4));
    CHECK(in_place.guards_untouched());
}

TEST_CASE("rms_norm_backward: gradients agree with finite differences") {
    constexpr index_t rows = 35;  // more than one block
    auto x = Table<double, kWidth>::random(rows, 6);
    auto gain = Table<double, kWidth>::random(1, 7);
    auto const dy = Table<double, kWidth>::random(rows, 8);
    double const epsilon = 0.1;  // large enough for its gradient to matter
    ds::Cpu cpu{{.threads = 2}};
    Table<double, 1> inverse_rms(rows);
    norm(cpu, x, gain, epsilon, inverse_rms);
    Table<double, kWidth> dx(rows);
    auto dgain = Table<double, kWidth>::random(1, 9);
    auto const dgain_before = dgain;
    ds::ops::rms_norm_backward(cpu, dx.view(), vector_of(dgain), dy.view(), x.view(), vector_of(gain),
                               inverse_rms.view(), ds::ops::Write::overwrite);

    auto const weights = dy.doubles();
    auto const loss_of = [&](std::vector<double> const& inputs, std::vector<double> const& gains) {
        auto const y = reference::rms_norm(inputs, gains, epsilon);
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i) {
            sum += y[i] * weights[i];
        }
        return sum;
    };
    // Of x, a row alone matters to its own gradient: one row at a time is the same and faster.
    for (auto const row : {index_t{0}, index_t{31}, rows - 1}) {
        std::vector<double> in(x.view().row(row), x.view().row(row) + kWidth);
        std::vector<double> const gains = gain.doubles();
        auto const report = ds::testing::compare_gradient("x", in.data(), dx.view().row(row), kWidth, [&] {
            auto const y = reference::rms_norm(in, gains, epsilon);
            double sum = 0;
            for (std::size_t i = 0; i < y.size(); ++i) {
                sum += y[i] * dy(row, static_cast<index_t>(i));
            }
            return sum;
        });
        CAPTURE(report.entry);
        CHECK(report.error < 1e-9);
    }
    auto const inputs = x.doubles();
    auto gains = gain.doubles();
    std::vector<double> added;
    for (index_t c = 0; c < kWidth; ++c) {
        added.push_back(dgain(0, c) - dgain_before(0, c));
    }
    auto const report = ds::testing::compare_gradient("gain", gains.data(), added.data(), 12,
                                                      [&] { return loss_of(inputs, gains); });
    CHECK(report.error < 1e-9);
}

TEST_CASE_TEMPLATE("rms_norm_backward: overwrites or adds, also in the memory of dy", T, float, double) {
    auto const x = Table<T, kWidth>::random(kRows, 10);
    auto const dy = Table<T, kWidth>::random(kRows, 11);
    auto const before = Table<T, kWidth>::random(kRows, 12);
    auto gain = Table<T, kWidth>::random(1, 13);
    struct Result {
        Table<T, kWidth> written, added, in_place, dgain;
    };
    auto const compute = [&](auto& be) {
        Table<T, 1> inverse_rms(kRows);
        norm(be, x, gain, 1e-6, inverse_rms);
        Table<T, kWidth> dgain_back(1);
        auto const backward = [&](auto& out, auto& in, ds::ops::Write write) {
            auto dgain = on(be, Table<T, kWidth>::random(1, 14));
            ds::ops::rms_norm_backward(be, out.view(), vector_of(dgain), in.view(), on(be, x).view(),
                                       vector_of(on(be, gain)), on(be, std::as_const(inverse_rms)).view(),
                                       write);
            dgain_back = dgain.back();
        };
        auto written = on(be, Table<T, kWidth>(kRows));
        auto added = on(be, Table<T, kWidth>(before));
        auto in_place = on(be, Table<T, kWidth>(dy));
        auto const gradient = on(be, dy);
        backward(written, gradient, ds::ops::Write::overwrite);
        backward(added, gradient, ds::ops::Write::add);
        backward(in_place, in_place, ds::ops::Write::overwrite);
        return Result{written.back(), added.back(), in_place.back(), dgain_back};
    };
    ds::Cpu one{{.threads = 1}};
    ds::Cpu two{{.threads = 2}};
    auto const a = compute(one);
    auto const b = compute(two);
    CHECK(same_bits(a.written, b.written));
    CHECK(same_bits(a.added, b.added));
    CHECK(same_bits(a.in_place, b.in_place));
    CHECK(same_bits(a.dgain, b.dgain));
    CHECK(difference(a.in_place.doubles(), a.written.doubles()) < rounding<T>(4));  // FMA here, not there

    auto sum = before.doubles();
    auto const written = a.written.doubles();
    for (std::size_t i = 0; i < sum.size(); ++i) {
        sum[i] += written[i];
    }
    CHECK(difference(a.added.doubles(), sum) < rounding<T>(4));
    CHECK(a.written.guards_untouched());
    CHECK(a.added.guards_untouched());

    ds::Emulated device{{.order = ds::gpu::Order::backwards}};
    auto const c = compute(device);
    CHECK(difference(c.written.doubles(), written) < rounding<T>(8));
    CHECK(difference(c.dgain.doubles(), a.dgain.doubles()) < rounding<T>(8));
}

TEST_CASE("rms_norm: row counts must agree, and no rows are fine") {
    ds::Cpu cpu{{.threads = 1}};
    Table<float, 4> two(2);
    Table<float, 4> three(3);
    Table<float, 1> inverse_rms(2);
    float gain[4] = {1, 1, 1, 1};
    ds::Matrix<float, 4> const g{gain};
    CHECK_THROWS_WITH_AS(ds::ops::rms_norm(cpu, two.view(), three.view(), g, inverse_rms.view(), 1e-6),
                         "rms_norm: y has 2 rows, x has 3, inverse_rms has 2", ds::ShapeError);
    CHECK_THROWS_AS(ds::ops::rms_norm_backward(cpu, two.view(), g, two.view(), three.view(), g,
                                               inverse_rms.view(), ds::ops::Write::add),
                    ds::ShapeError);
    ds::Rows<float, 4> const none{};
    CHECK_NOTHROW(ds::ops::rms_norm(cpu, none, none, g, {}, 1e-6));
    CHECK_NOTHROW(ds::ops::rms_norm_backward(cpu, none, g, none, none, g, {}, ds::ops::Write::add));
    CHECK(gain[0] == 1);
}
