// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/ops/elementwise.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

constexpr index_t kRows = 401;  // several parts for two threads, the last of them short
constexpr index_t kWidth = 77;  // not a multiple of any vector

struct Fused {
    template <class T>
    T operator()(T a, T b, T c) const {
        return a * b - c;
    }
};

}  // namespace

TEST_CASE_TEMPLATE("add: sums, also onto one of its summands", T, float, double, ds::bf16) {
    auto const a = Table<T, kWidth>::random(kRows, 1);
    auto const b = Table<T, kWidth>::random(kRows, 2);
    auto const check = [&](Table<T, kWidth> const& y) {
        for (index_t r = 0; r < kRows; ++r) {
            for (index_t c = 0; c < kWidth; ++c) {
                REQUIRE(y(r, c) == ds::convert<T>(wide(a(r, c)) + wide(b(r, c))));
            }
        }
        CHECK(y.guards_untouched());
    };
    on_every_backend(
        [&](auto& be) {
            auto y = on(be, Table<T, kWidth>(kRows));
            ds::ops::add(be, y.view(), on(be, a).view(), on(be, b).view());
            return y.back();
        },
        check);
    on_every_backend(
        [&](auto& be) {
            auto y = on(be, b);
            ds::ops::add(be, y.view(), on(be, a).view(), y.view());
            return y.back();
        },
        check);
}

TEST_CASE_TEMPLATE("accumulate and scale: as their formulas, rounded once each", T, float, double, ds::bf16) {
    auto const a = Table<T, kWidth>::random(kRows, 3);
    auto const b = Table<T, kWidth>::random(kRows, 4);
    constexpr auto kFactor = static_cast<ds::accumulate_t<T>>(-0.3);  // no bf16
    on_every_backend(
        [&](auto& be) {
            auto y = on(be, a);
            ds::ops::accumulate(be, y.view(), on(be, b).view());
            ds::ops::scale(be, y.view(), kFactor);
            return y.back();
        },
        [&](Table<T, kWidth> const& y) {
            for (index_t r = 0; r < kRows; ++r) {
                for (index_t c = 0; c < kWidth; ++c) {
                    auto const sum = ds::convert<T>(wide(a(r, c)) + wide(b(r, c)));
                    REQUIRE(y(r, c) == ds::convert<T>(wide(sum) * kFactor));
                }
            }
            CHECK(y.guards_untouched());
        });
}

TEST_CASE("copy: between element types, rounding as the conversion does") {
    auto const x = Table<float, kWidth>::random(kRows, 5);
    on_every_backend(
        [&](auto& be) {
            auto narrow = on(be, Table<ds::bf16, kWidth>(kRows));
            ds::ops::copy(be, narrow.view(), on(be, x).view());
            auto wide = on(be, Table<double, kWidth>(kRows));
            ds::ops::copy(be, wide.view(), narrow.view());
            CHECK(narrow.back().guards_untouched());
            return wide.back();
        },
        [&](Table<double, kWidth> const& y) {
            for (index_t r = 0; r < kRows; ++r) {
                for (index_t c = 0; c < kWidth; ++c) {
                    REQUIRE(y(r, c) == static_cast<double>(static_cast<float>(ds::bf16(x(r, c)))));
                }
            }
            CHECK(y.guards_untouched());
        });
}

TEST_CASE_TEMPLATE("fill: every element, and nothing beside the rows", T, float, double, ds::bf16) {
    on_every_backend(
        [](auto& be) {
            auto y = on(be, Table<T, kWidth>(kRows));
            ds::ops::fill(be, y.view(), 2.5F);
            return y.back();
        },
        [](Table<T, kWidth> const& y) {
            for (auto const value : y.doubles()) {
                REQUIRE(value == 2.5);
            }
            CHECK(y.guards_untouched());
        });
}

TEST_CASE("as_rows: a matrix row by row") {
    on_every_backend(
        [](auto& be) {
            auto memory = on(be, std::vector<float>(6, 1.0F));
            auto const matrix = ds::Matrix<float, 2, 3>{memory.data()};
            ds::ops::scale(be, ds::ops::as_rows(matrix.template slice<1, 1>()), 3);
            return memory.back();
        },
        [](std::vector<float> const& memory) {
            CHECK(memory == std::vector<float>{1, 1, 1, 3, 3, 3});
        });
}

TEST_CASE_TEMPLATE("transform: a function of three inputs, of any constness", T, float, double, ds::bf16) {
    auto const a = Table<T, kWidth>::random(kRows, 6);
    auto const b = Table<T, kWidth>::random(kRows, 7);
    on_every_backend(
        [&](auto& be) {
            auto c = on(be, Table<T, kWidth>::random(kRows, 8));
            ds::ops::transform(be, c.view(), Fused{}, on(be, a).view(), on(be, b).view(), c.view());
            return c.back();
        },
        [&](Table<T, kWidth> const& y) {
            auto const c = Table<T, kWidth>::random(kRows, 8);
            std::vector<double> expected;
            for (index_t r = 0; r < kRows; ++r) {
                for (index_t k = 0; k < kWidth; ++k) {
                    expected.push_back(double{wide(a(r, k))} * double{wide(b(r, k))} - double{wide(c(r, k))});
                }
            }
            CHECK(difference(y.doubles(), expected) < rounding<T>(3));
            CHECK(y.guards_untouched());
        });
}

TEST_CASE("elementwise operations: row counts must agree") {
    ds::Cpu cpu{{.threads = 1}};
    Table<float, 8> two(2);
    Table<float, 8> three(3);
    CHECK_THROWS_WITH_AS(ds::ops::add(cpu, two.view(), two.view(), three.view()),
                         "add: y has 2 rows, the summands 2 and 3", ds::ShapeError);
    CHECK_THROWS_WITH_AS(ds::ops::accumulate(cpu, two.view(), three.view()),
                         "accumulate: y has 2 rows, x has 3", ds::ShapeError);
    CHECK_THROWS_WITH_AS(ds::ops::copy(cpu, two.view(), three.view()), "copy: y has 2 rows, x has 3",
                         ds::ShapeError);
    CHECK_THROWS_WITH_AS(ds::ops::transform(cpu, two.view(), Fused{}, two.view(), two.view(), three.view()),
                         "transform: out has 2 rows, an input has 3", ds::ShapeError);
}

TEST_CASE("elementwise operations: nothing to do on no rows") {
    ds::Cpu cpu{{.threads = 2}};
    ds::Rows<float, 8> const none{};
    CHECK_NOTHROW(ds::ops::add(cpu, none, none, none));
    CHECK_NOTHROW(ds::ops::accumulate(cpu, none, none));
    CHECK_NOTHROW(ds::ops::copy(cpu, none, none));
    CHECK_NOTHROW(ds::ops::fill(cpu, none, 1));
    CHECK_NOTHROW(ds::ops::scale(cpu, none, 1));
    CHECK_NOTHROW(ds::ops::transform(cpu, none, Fused{}, none, none, none));
}
