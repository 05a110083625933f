// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/ops/bias.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <vector>

using namespace deepseek_tests;

namespace {
constexpr index_t kWidth = 70;  // more than a strip of the gradient, and no multiple of one
constexpr index_t kRows = 5;

template <class T>
std::vector<T> random_vector(std::uint64_t seed) {
    auto const values = Table<T, kWidth>::random(1, seed);
    return {values.view().row(0), values.view().row(0) + kWidth};
}

template <class T>
std::vector<double> doubles_of(std::vector<T> const& values) {
    std::vector<double> all;
    for (auto const value : values) {
        all.push_back(ds::convert<double>(value));
    }
    return all;
}

// Of rows and of the vector beside them.
template <class Rows, class Vector>
struct Types {
    using T = Rows;
    using W = Vector;
};
using Float = Types<float, float>;
using Double = Types<double, double>;
using NarrowVector = Types<float, ds::bf16>;
using NarrowRows = Types<ds::bf16, float>;
using Narrow = Types<ds::bf16, ds::bf16>;
}  // namespace

TEST_CASE_TEMPLATE("add_bias: adds the vector to every row", Both, Float, Double, NarrowVector, NarrowRows,
                   Narrow) {
    using T = typename Both::T;
    using W = typename Both::W;
    auto const before = Table<T, kWidth>::random(kRows, 1);
    auto bias = random_vector<W>(2);
    on_every_backend(
        [&](auto& be) {
            auto y = on(be, before);
            ds::ops::add_bias(be, y.view(), ds::Matrix<W, kWidth, 1>{on(be, bias).data()});
            return y.back();
        },
        [&](Table<T, kWidth> const& y) {
            std::vector<double> expected;
            for (index_t r = 0; r < kRows; ++r) {
                for (index_t c = 0; c < kWidth; ++c) {
                    expected.push_back(double{wide(before(r, c))} +
                                       ds::convert<double>(bias[static_cast<std::size_t>(c)]));
                }
            }
            CHECK(difference(y.doubles(), expected) <= rounding<T>(1));
            CHECK(y.guards_untouched());
        });
}

TEST_CASE_TEMPLATE("bias_backward: adds the sum over rows, which is the transpose of adding, rounded once",
                   Both, Float, Double, NarrowVector, NarrowRows, Narrow) {
    using T = typename Both::T;
    using G = typename Both::W;
    auto const dy = Table<T, kWidth>::random(kRows, 1);
    auto const before = random_vector<G>(2);
    on_every_backend(
        [&](auto& be) {
            auto dbias = on(be, before);
            ds::ops::bias_backward(be, ds::Matrix<G, kWidth, 1>{dbias.data()}, on(be, dy).view());
            return dbias.back();
        },
        [&](std::vector<G> const& dbias) {
            auto expected = doubles_of(before);
            for (index_t r = 0; r < kRows; ++r) {
                for (index_t c = 0; c < kWidth; ++c) {
                    expected[static_cast<std::size_t>(c)] += double{wide(dy(r, c))};
                }
            }
            CHECK(difference(doubles_of(dbias), expected) <=
                  rounding<ds::accumulate_t<G>>(kRows) + rounding<G>(1));
        });
}

TEST_CASE("bias: no rows are fine") {
    ds::Cpu cpu{{.threads = 1}};
    Table<float, kWidth> none(0);
    auto const before = random_vector<float>(2);
    auto bias = before;
    ds::Matrix<float, kWidth, 1> const view{bias.data()};
    ds::ops::add_bias(cpu, none.view(), view);
    ds::ops::bias_backward(cpu, view, none.view());
    CHECK(bias == before);
}
