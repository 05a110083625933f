// SPDX-License-Identifier: MIT
#include <deepseek/ops/arguments/rope.hpp>
#include <deepseek/ops/rope.hpp>

#include "ops/backends.hpp"
#include "reference/rows.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

// DeepSeek-V3's and DeepSeek-V2-Lite's, from their config.json.
constexpr ds::Rope kV3{.yarn = {.factor = 40, .mscale = 1, .mscale_all_dim = 1}};
constexpr ds::Rope kV2Lite{.yarn = {.factor = 40, .mscale = 0.707, .mscale_all_dim = 0.707}};

// A Rope is a part of types.
template <ds::Rope Options>
struct Typed {
    static constexpr ds::ops::RotaryTable<64> table{Options};
};
static_assert(Typed<kV3>::table.inverse_frequency[0] == 1);

constexpr index_t kHeads = 3;
constexpr index_t kDim = 10;
constexpr index_t kHeadStride = 13;
constexpr index_t kOffset = 2;
constexpr index_t kWidth = 44;  // the last head ends before the row does

// x is a Table, or one in the backend's memory.
void rotate(auto& be, auto& x, ds::ops::RotaryTable<kDim> const& table, index_t length, index_t first,
            ds::ops::Direction direction = ds::ops::Direction::forward) {
    ds::ops::rotate<kHeads, kHeadStride, kOffset>(be, x.view(), table, length, first, direction);
}

// The same in double, with angles that are products of floats.
template <class T>
std::vector<double> rotated(Table<T, kWidth> const& x, ds::ops::RotaryTable<kDim> const& table,
                            index_t length, index_t first, double sign) {
    auto all = x.doubles();
    for (index_t row = 0; row < x.rows(); ++row) {
        for (index_t head = 0; head < kHeads; ++head) {
            auto* const v = all.data() + row * kWidth + kOffset + head * kHeadStride;
            for (index_t i = 0; i < kDim / 2; ++i) {
                auto const angle = static_cast<float>(first + row % length) * table.inverse_frequency[i];
                auto& a = table.interleaved ? v[2 * i] : v[i];
                auto& b = table.interleaved ? v[2 * i + 1] : v[i + kDim / 2];
                reference::turn(a, b, sign * static_cast<double>(angle));
                a *= table.attention_factor;
                b *= table.attention_factor;
            }
        }
    }
    return all;
}

}  // namespace

TEST_CASE("rotate: turns (1, 2, 3, 4) at position 3 to the published values, in both layouts") {
    ds::Cpu cpu{{.threads = 1}};
    double interleaved[4] = {1, 2, 3, 4};
    ds::ops::rotate<1, 4, 0>(cpu, ds::Rows<double, 4>{interleaved, 1}, ds::ops::RotaryTable<4>{ds::Rope{}}, 1,
                             3);
    double const expected[4] = {-1.27223251, -1.83886499, 2.87866810, 4.08818664};
    double half_split[4] = {1, 2, 3, 4};
    ds::ops::rotate<1, 4, 0>(cpu, ds::Rows<double, 4>{half_split, 1},
                             ds::ops::RotaryTable<4>{ds::Rope{.interleaved = false}}, 1, 3);
    double const expected_half[4] = {-1.41335252, 1.87911807, -2.82885748, 4.05819114};
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(std::abs(interleaved[i] - expected[i]) < 1e-8);
        CHECK(std::abs(half_split[i] - expected_half[i]) < 1e-8);
    }
}

TEST_CASE_TEMPLATE("rotate: every head of every row at its position, in both layouts and directions", T,
                   float, double, ds::bf16) {
    constexpr index_t length = 60;
    constexpr index_t first = 5;
    auto const x = Table<T, kWidth>::random(3 * length, 1);
    for (bool const interleaved : {true, false}) {
        for (auto const direction : {ds::ops::Direction::forward, ds::ops::Direction::backward}) {
            CAPTURE(interleaved);
            ds::ops::RotaryTable<kDim> const table{
                ds::Rope{.theta = 500, .interleaved = interleaved, .yarn = {.attention_factor = 1.25}}};
            auto const sign = direction == ds::ops::Direction::forward ? 1.0 : -1.0;
            auto const expected = rotated(x, table, length, first, sign);
            on_every_backend(
                [&](auto& be) {
                    auto y = on(be, x);
                    rotate(be, y, table, length, first, direction);
                    return y.back();
                },
                [&](Table<T, kWidth> const& y) {
                    CHECK(difference(y.doubles(), expected) < rounding<T>(4));
                    CHECK(y.guards_untouched());
                });
        }
    }
}

TEST_CASE("rotate: backward is the transpose of forward, the attention factor included") {
    ds::Cpu cpu{{.threads = 1}};
    ds::ops::RotaryTable<kDim> const table{ds::Rope{.yarn = {.attention_factor = 1.5}}};
    auto const x = Table<double, kWidth>::random(7, 2);
    auto const dy = Table<double, kWidth>::random(7, 3);
    auto y = x;
    rotate(cpu, y, table, 7, 100);
    auto dx = dy;
    rotate(cpu, dx, table, 7, 100, ds::ops::Direction::backward);
    double forward = 0;   // <dy, R x>
    double backward = 0;  // <Rᵀ dy, x>
    for (index_t r = 0; r < 7; ++r) {
        for (index_t c = 0; c < kWidth; ++c) {
            forward += dy(r, c) * y(r, c);
            backward += dx(r, c) * x(r, c);
        }
    }
    CHECK(forward == doctest::Approx(backward).epsilon(1e-13));
}

TEST_CASE("rotate: at long positions the angle is the product of floats that models are trained with") {
    ds::Cpu cpu{{.threads = 1}};
    constexpr ds::ops::RotaryTable<64> table{ds::Rope{}};
    for (index_t const position : {0, 1, 4095, 131'071}) {
        float ones[64];
        for (index_t i = 0; i < 32; ++i) {
            ones[2 * i] = 1;
            ones[2 * i + 1] = 0;
        }
        ds::ops::rotate<1, 64, 0>(cpu, ds::Rows<float, 64>{ones, 1}, table, 1, position);
        for (index_t i = 0; i < 32; ++i) {
            auto const angle = static_cast<double>(static_cast<float>(position) * table.inverse_frequency[i]);
            CHECK(ones[2 * i] == static_cast<float>(std::cos(angle)));
            CHECK(ones[2 * i + 1] == static_cast<float>(std::sin(angle)));
        }
    }
}

TEST_CASE("RotaryTable: frequencies are theta^(-2i/Dim), rounded once") {
    constexpr ds::ops::RotaryTable<64> table{ds::Rope{.theta = 50'000}};
    for (index_t i = 0; i < 32; ++i) {
        CHECK(table.inverse_frequency[i] ==
              static_cast<float>(std::pow(50'000.0, -static_cast<double>(2 * i) / 64)));
    }
    CHECK(table.attention_factor == 1);
}

TEST_CASE("RotaryTable: YaRN's frequencies for DeepSeek-V3 are the published ones") {
    constexpr ds::ops::RotaryTable<64> table{kV3};
    auto const at = [&](index_t i) { return static_cast<double>(table.inverse_frequency[i]); };
    auto const expected = [](double value) { return doctest::Approx(value).epsilon(1e-7); };
    CHECK(at(0) == 1);
    CHECK(at(1) == expected(7.498942093e-1));
    CHECK(at(10) == expected(5.623413252e-2));
    CHECK(at(11) == expected(3.900692657e-2));
    CHECK(at(16) == expected(5.5e-3));
    CHECK(at(22) == expected(1.778279410e-4));
    CHECK(at(23) == expected(3.333803580e-5));
    CHECK(at(31) == expected(3.333803580e-6));
    CHECK(table.attention_factor == 1);
}

TEST_CASE("RotaryTable: without truncation the ramp begins and ends between pairs") {
    auto rope = kV3;
    rope.yarn.truncate = false;
    ds::ops::RotaryTable<64> const table{rope};
    for (index_t i = 0; i < 32; ++i) {
        auto const pair_of = [](double turns) {
            return 64 * std::log(4096 / (2 * 3.14159265358979323846 * turns)) / (2 * std::log(10'000.0));
        };
        auto const ramp =
            std::fmin(1, std::fmax(0, (static_cast<double>(i) - pair_of(32)) / (pair_of(1) - pair_of(32))));
        auto const plain = std::pow(10'000.0, -static_cast<double>(2 * i) / 64);
        CHECK(static_cast<double>(table.inverse_frequency[i]) ==
              doctest::Approx(plain * (1 - ramp + ramp / 40)).epsilon(1e-7));
    }
}

TEST_CASE(
    "RotaryTable: the attention factor is given, or the quotient of the two mscales, or that of one alone") {
    auto const factor = [](ds::YaRN const& yarn) {
        return ds::ops::RotaryTable<8>{ds::Rope{.yarn = yarn}}.attention_factor;
    };
    auto const m = [](double mscale) { return 0.1 * mscale * std::log(40.0) + 1; };
    CHECK(factor({.factor = 40, .mscale = 1, .mscale_all_dim = 0.5}) ==
          doctest::Approx(m(1) / m(0.5)).epsilon(1e-15));
    CHECK(factor({.factor = 40, .mscale = 0.707, .mscale_all_dim = 0}) ==
          doctest::Approx(m(1)).epsilon(1e-15));
    CHECK(factor({.factor = 40, .mscale = 1, .mscale_all_dim = 1, .attention_factor = 0.9}) == 0.9);
    CHECK(factor({}) == 1);
}

TEST_CASE("softmax_scale: the published values for DeepSeek-V3 and V2-Lite, and plain without YaRN") {
    CHECK(ds::ops::softmax_scale(192, kV3) == doctest::Approx(0.1352337789).epsilon(1e-9));
    CHECK(ds::ops::softmax_scale(192, kV2Lite) == doctest::Approx(0.1147213868).epsilon(1e-9));
    CHECK(ds::ops::softmax_scale(192, ds::Rope{}) == doctest::Approx(1 / std::sqrt(192.0)).epsilon(1e-15));
    static_assert(ds::ops::softmax_scale(64, ds::Rope{}) == 0.125);
}

TEST_CASE("rotary embedding: what makes no sense is refused") {
    CHECK_THROWS_WITH_AS(ds::ops::RotaryTable<8>{ds::Rope{.theta = 0}}, "Rope: theta must be above 1, not 0",
                         ds::Error);
    CHECK_THROWS_AS(ds::ops::RotaryTable<8>{ds::Rope{.yarn = {.factor = 0}}}, ds::Error);
    CHECK_THROWS_AS(ds::ops::softmax_scale(0, ds::Rope{}), ds::Error);
    ds::Cpu cpu{{.threads = 1}};
    ds::ops::RotaryTable<kDim> const table{ds::Rope{}};
    Table<float, kWidth> five(5);
    CHECK_THROWS_WITH_AS(rotate(cpu, five, table, 2, 0), "rotate: 5 rows are not sequences of 2",
                         ds::ShapeError);
    CHECK_THROWS_AS(rotate(cpu, five, table, 0, 0), ds::ShapeError);
    CHECK_THROWS_WITH_AS(rotate(cpu, five, table, 5, -1), "rotate: the first position is -1", ds::ShapeError);
    Table<float, kWidth> none(0);
    CHECK_NOTHROW(rotate(cpu, none, table, 0, 0));
}

TEST_CASE_TEMPLATE("rotate: positions count from the beginning of the row's document", T, float, double,
                   ds::bf16) {
    ds::ops::RotaryTable<kDim> const table{ds::Rope{}};
    std::vector<std::int32_t> const starts{0, 0, 0, 3, 3, 5, 5, 5, 5, 5, 0, 1, 1, 1, 1, 1, 1, 1, 1, 9};
    auto const x = Table<T, kWidth>::random(20, 4);
    on_every_backend(
        [&](auto& be) {
            auto y = on(be, x);
            ds::ops::rotate<kHeads, kHeadStride, kOffset>(be, y.view(), table, 10, 100,
                                                          ds::ops::Direction::forward, on(be, starts).data());
            return y.back();
        },
        [&](Table<T, kWidth> const& y) {
            // Row by row, each alone at its position.
            ds::Cpu cpu{{.threads = 1}};
            auto expected = x;
            for (index_t row = 0; row < 20; ++row) {
                auto one = x;
                rotate(cpu, one, table, 1, 100 + row % 10 - starts[static_cast<std::size_t>(row)]);
                std::copy_n(one.view().row(row), kWidth, expected.view().row(row));
            }
            CHECK(difference(y.doubles(), expected.doubles()) < rounding<T>(16));
        });
}

TEST_CASE_TEMPLATE("rotate: parts of any width, whole vectors of pairs and a rest, or wider than one piece",
                   Dim, std::integral_constant<index_t, 8>, std::integral_constant<index_t, 64>,
                   std::integral_constant<index_t, 148>, std::integral_constant<index_t, 390>) {
    constexpr auto dim = Dim::value;
    constexpr index_t heads = 2;
    constexpr index_t stride = dim + 1;
    constexpr index_t offset = 3;
    constexpr index_t width = offset + stride + dim;
    auto const x = Table<float, width>::random(5, 6);
    for (bool const interleaved : {true, false}) {
        CAPTURE(interleaved);
        ds::ops::RotaryTable<dim> const table{ds::Rope{.interleaved = interleaved}};
        auto expected = x.doubles();
        for (index_t row = 0; row < 5; ++row) {
            for (index_t head = 0; head < heads; ++head) {
                auto* const v = expected.data() + row * width + offset + head * stride;
                for (index_t i = 0; i < dim / 2; ++i) {
                    auto const angle = static_cast<float>(40 + row) * table.inverse_frequency[i];
                    auto& a = interleaved ? v[2 * i] : v[i];
                    auto& b = interleaved ? v[2 * i + 1] : v[i + dim / 2];
                    reference::turn(a, b, static_cast<double>(angle));
                }
            }
        }
        on_every_backend(
            [&](auto& be) {
                auto y = on(be, x);
                ds::ops::rotate<heads, stride, offset>(be, y.view(), table, 5, 40);
                return y.back();
            },
            [&](Table<float, width> const& y) {
                CHECK(difference(y.doubles(), expected) < rounding<float>(4));
                CHECK(y.guards_untouched());
            });
    }
}
