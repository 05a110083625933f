// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/ops/reduce.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

template <class T>
std::vector<T> numbers(index_t count, double deviation) {
    std::vector<T> all;
    auto const key = ds::RandomKey{ds::Seed{1}};
    for (index_t i = 0; i < count; ++i) {
        all.push_back(ds::convert<T>(deviation * key.normal(static_cast<std::uint64_t>(i))));
    }
    return all;
}

}  // namespace

TEST_CASE_TEMPLATE("sum_of_squares: adds to the total what is in the segments, whatever their length", T,
                   float, double, ds::bf16) {
    for (index_t const count : {1, 7, 8191, 8192, 8193, 100'003}) {
        // a short tensor, one of `count`, and NaN between, before and behind
        std::vector<ds::Segment> const table{
            {.begin = 2, .size = 5}, {.begin = 9, .size = count, .blocks_before = 1, .elements_before = 5}};
        auto x = numbers<T>(count + 12, 1);
        double expected = 3;
        for (index_t i = 0; i < count + 12; ++i) {
            auto& value = x[static_cast<std::size_t>(i)];
            if ((i >= 2 && i < 7) || (i >= 9 && i < 9 + count)) {
                expected += ds::convert<double>(value) * ds::convert<double>(value);
            } else {
                value = ds::convert<T>(std::numeric_limits<double>::quiet_NaN());
            }
        }
        CAPTURE(count);
        on_every_backend(
            [&](auto& be) {
                auto total = on(be, std::vector<double>{3});
                auto const values = on(be, x);
                auto const segments = on(be, table);
                ds::ops::sum_of_squares(be, total.data(), static_cast<T const*>(values.data()),
                                        {segments.data(), 2, 1 + table[1].blocks(), 5 + count});
                return total.back();
            },
            [&](std::vector<double> const& total) {
                CHECK(total[0] == doctest::Approx(expected).epsilon(1e-12));
            });
    }
}

TEST_CASE("sum_of_squares: squares that float cannot hold are no trouble") {
    ds::Cpu cpu{{.threads = 2}};
    auto const x = numbers<float>(20'000, 1e25);
    double expected = 0;
    for (auto const value : x) {
        expected += static_cast<double>(value) * static_cast<double>(value);
    }
    double total = 0;
    ds::Segment const all{.size = 20'000};
    ds::ops::sum_of_squares(cpu, &total, x.data(), {&all, 1, all.blocks(), all.size});
    CHECK(total == doctest::Approx(expected).epsilon(1e-12));
}

TEST_CASE("add_value: adds a number of the host") {
    on_every_backend(
        [&](auto& be) {
            auto total = on(be, std::vector<double>{-1});
            ds::ops::add_value(be, total.data(), 2.5);
            return total.back();
        },
        [&](std::vector<double> const& total) { CHECK(total[0] == 1.5); });
}

TEST_CASE_TEMPLATE("add_sum: adds the scaled sum of a column, whatever its stride", T, float, double) {
    auto const x = Table<T, 1>::random(1001, 2);
    double sum = 0;
    for (auto const value : x.doubles()) {
        sum += value;
    }
    on_every_backend(
        [&](auto& be) {
            auto total = on(be, std::vector<double>{-1});
            ds::ops::add_sum(be, total.data(), on(be, x).view(), 0.25);
            return total.back();
        },
        [&](std::vector<double> const& total) {
            CHECK(total[0] == doctest::Approx(-1 + 0.25 * sum).epsilon(1e-12));
        });
}

TEST_CASE("sums: nothing to add leaves the total alone") {
    ds::Cpu cpu{{.threads = 1}};
    double total = 5;
    ds::ops::add_sum(cpu, &total, ds::Rows<float, 1>{});
    ds::ops::sum_of_squares(cpu, &total, static_cast<float const*>(nullptr), ds::Segments{});
    CHECK(total == 5);
}
