// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_OPS_BACKENDS_HPP
#define DEEPSEEK_TESTS_OPS_BACKENDS_HPP

#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/emulated.hpp>
#include <deepseek/core/dtype.hpp>

#include "ops/placed.hpp"
#include "ops/table.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

// What the tests of the operations on rows share: backends, tables with guard bands, comparisons.

namespace deepseek_tests {

template <class T>
bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// Runs compute(backend), which returns a Table or vector, on every backend, and passes each result to check. What the
/// backend reads and writes has to be in its memory: `on(be, …)`.
///
/// The emulated device runs the loop that defines an operation, in the orders of calls that are furthest apart; of the Cpu
/// one and two threads are to give the same bits.
template <class Compute, class Check>
void on_every_backend(Compute const& compute, Check const& check) {
    {
        INFO("emulated device, loop bodies called from the last to the first");
        ds::Emulated be{{.order = ds::gpu::Order::backwards}};
        check(compute(be));
    }
    {
        INFO("emulated device, loop bodies called in a scattered order");
        ds::Emulated be{{.order = ds::gpu::Order::scattered}};
        check(compute(be));
    }
    ds::Cpu one{{.threads = 1}};
    ds::Cpu two{{.threads = 2}};
    auto const expected = compute(one);
    {
        INFO("Cpu");
        check(expected);
    }
    CHECK(same_bits(compute(two), expected));
}

/// Largest difference, relative to the larger of 1 and the largest expected magnitude; NaN where only one is NaN.
inline double difference(std::vector<double> const& given, std::vector<double> const& expected) {
    REQUIRE(given.size() == expected.size());
    double largest = 1;
    for (auto const value : expected) {
        largest = std::isfinite(value) ? std::max(largest, std::abs(value)) : largest;
    }
    double worst = 0;
    for (std::size_t i = 0; i < given.size(); ++i) {
        bool const alike = given[i] == expected[i] || (std::isnan(given[i]) && std::isnan(expected[i]));
        auto const error = alike ? 0 : std::abs(given[i] - expected[i]) / largest;
        worst = error <= worst || std::isnan(worst) ? worst : error;  // NaN stays
    }
    return worst;
}

/// Rounding errors of `steps` operations in T that add up at worst: each is half a unit in the last of T's bits, of which
/// bf16 has 8.
template <class T>
double rounding(double steps) {
    if constexpr (std::is_same_v<T, ds::bf16>) {
        return steps * 0x1p-8;
    } else {
        return steps * static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
    }
}

/// a in the type that sums over elements like it are kept in.
template <class T>
ds::accumulate_t<T> wide(T a) {
    return ds::convert<ds::accumulate_t<T>>(a);
}

}  // namespace deepseek_tests

TYPE_TO_STRING_AS("float", float);
TYPE_TO_STRING_AS("double", double);
TYPE_TO_STRING_AS("bf16", deepseek::bf16);

#endif
