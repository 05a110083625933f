// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/ops/dropout.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

constexpr index_t kRows = 500;
constexpr index_t kWidth = 83;

}  // namespace

TEST_CASE_TEMPLATE("dropout: element [r, c] has number r * C + c of the mask", T, float, double, ds::bf16) {
    ds::Dropout const dropout{.rate = 0.3, .key = ds::RandomKey{ds::Seed{5}}};
    auto const x = Table<T, kWidth>::random(kRows, 1);
    on_every_backend(
        [&](auto& be) {
            auto y = on(be, x);
            ds::ops::dropout(be, y.view(), dropout);
            return y.back();
        },
        [&](Table<T, kWidth> const& y) {
            for (index_t r = 0; r < kRows; ++r) {
                for (index_t c = 0; c < kWidth; ++c) {
                    auto const factor =
                        dropout.factor<ds::accumulate_t<T>>(static_cast<std::uint64_t>(r * kWidth + c));
                    REQUIRE(y(r, c) == ds::convert<T>(wide(x(r, c)) * factor));
                }
            }
            CHECK(y.guards_untouched());
        });
}

TEST_CASE("dropout: drops the wanted share and keeps the mean") {
    ds::Cpu cpu{{.threads = 2}};
    for (double const rate : {0.1, 0.5, 0.9}) {
        Table<float, kWidth> y(kRows);
        for (index_t r = 0; r < kRows; ++r) {
            for (index_t c = 0; c < kWidth; ++c) {
                y(r, c) = 1;
            }
        }
        ds::ops::dropout(cpu, y.view(), {.rate = rate, .key = ds::RandomKey{ds::Seed{6}}});
        double zeros = 0;
        double sum = 0;
        for (auto const value : y.doubles()) {
            zeros += value == 0;
            sum += value;
        }
        constexpr double count = kRows * kWidth;
        auto const deviation = std::sqrt(rate * (1 - rate) / count);  // of a share of independent draws
        CHECK(std::abs(zeros / count - rate) < 4 * deviation);
        CHECK(std::abs(sum / count - 1) < 4 * deviation / (1 - rate));
    }
}

TEST_CASE("dropout: a rate of 0 changes nothing, a rate outside [0, 1) is refused") {
    ds::Cpu cpu{{.threads = 1}};
    auto x = Table<float, kWidth>::random(3, 2);
    auto const before = x;
    ds::ops::dropout(cpu, x.view(), {});
    CHECK(same_bits(x, before));
    CHECK_THROWS_WITH_AS(ds::ops::dropout(cpu, x.view(), {.rate = 1}),
                         "dropout: the rate must be in [0, 1), not 1", ds::Error);
    CHECK_THROWS_AS(ds::ops::dropout(cpu, x.view(), {.rate = -0.5}), ds::Error);
    CHECK_THROWS_AS(ds::ops::dropout(cpu, x.view(), {.rate = std::numeric_limits<double>::quiet_NaN()}),
                    ds::Error);
    CHECK(same_bits(x, before));
}
