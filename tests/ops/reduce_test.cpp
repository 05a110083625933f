// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/ops/reduce.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
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

TEST_CASE_TEMPLATE("sum_of_squares: adds to the total, for any length", T, float, double, ds::bf16) {
    for (index_t const count : {1, 7, 8191, 8192, 8193, 100'003}) {
        auto const x = numbers<T>(count, 1);
        double expected = 3;
        for (auto const value : x) {
            expected += ds::convert<double>(value) * ds::convert<double>(value);
        }
        CAPTURE(count);
        on_every_backend(
            [&](auto& be) {
                auto total = on(be, std::vector<double>{3});
                auto const values = on(be, x);
                ds::ops::sum_of_squares(be, total.data(), values.data(), count);
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
    ds::ops::sum_of_squares(cpu, &total, ds::Matrix<float const, 200, 100>{x.data()});
    CHECK(total == doctest::Approx(expected).epsilon(1e-12));
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
    ds::ops::sum_of_squares(cpu, &total, static_cast<float const*>(nullptr), 0);
    CHECK(total == 5);
}
