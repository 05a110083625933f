// SPDX-License-Identifier: MIT
#include <deepseek/core/random.hpp>
#include <deepseek/detail/lanes.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

namespace ds = deepseek;
using ds::index_t;

std::vector<float> numbers(index_t count, std::uint64_t seed) {
    std::vector<float> all;
    auto const key = ds::RandomKey{ds::Seed{seed}};
    for (index_t i = 0; i < count; ++i) {
        all.push_back(static_cast<float>(key.normal(static_cast<std::uint64_t>(i))));
    }
    return all;
}

}  // namespace

TEST_CASE("sum_of: right for every length around the number of lanes") {
    for (index_t count = 0; count <= 4 * ds::detail::kLanes + 1; ++count) {
        auto const sum =
            ds::detail::sum_of<double>(count, [](index_t i) { return static_cast<double>(i + 1); });
        CHECK(sum == static_cast<double>(count * (count + 1) / 2));
    }
}

TEST_CASE("sum_of: the order is the documented one") {
    constexpr index_t count = 3 * ds::detail::kLanes + 7;
    auto const x = numbers(count, 1);
    std::vector<float> lane(ds::detail::kLanes);
    for (index_t i = 0; i < count; ++i) {
        lane[static_cast<std::size_t>(i % ds::detail::kLanes)] += x[static_cast<std::size_t>(i)];
    }
    for (std::size_t width = lane.size() / 2; width > 0; width /= 2) {
        for (std::size_t i = 0; i < width; ++i) {
            lane[i] += lane[i + width];
        }
    }
    auto const sum =
        ds::detail::sum_of<float>(count, [&](index_t i) { return x[static_cast<std::size_t>(i)]; });
    CHECK(sum == lane[0]);
}

TEST_CASE("dot and squared_norm: agree with double loops") {
    constexpr index_t count = 203;
    auto const a = numbers(count, 2);
    auto const b = numbers(count, 3);
    double product = 0;
    double square = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        product += static_cast<double>(a[i]) * static_cast<double>(b[i]);
        square += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    }
    CHECK(ds::detail::dot<double, count>(a.data(), b.data()) == doctest::Approx(product).epsilon(1e-13));
    CHECK(std::abs(static_cast<double>(ds::detail::dot<float, count>(a.data(), b.data())) - product) < 1e-4);
    CHECK(static_cast<double>(ds::detail::squared_norm<float, count>(a.data())) ==
          doctest::Approx(square).epsilon(1e-6));
}

TEST_CASE("largest: wherever it stands, floored, passing over NaN") {
    for (index_t count : {1, 31, 32, 33, 200}) {
        for (index_t at = 0; at < count; ++at) {
            std::vector<float> x(static_cast<std::size_t>(count), -5.0F);
            x[static_cast<std::size_t>(at)] = -2;
            CHECK(ds::detail::largest(x.data(), count, -10.0F) == -2);
            CHECK(ds::detail::largest(x.data(), count, 3.0F) == 3);
            x[static_cast<std::size_t>(at)] = std::numeric_limits<float>::quiet_NaN();
            CHECK(ds::detail::largest(x.data(), count, -6.0F) == (count == 1 ? -6.0F : -5.0F));
        }
    }
    float const none = 0;
    CHECK(ds::detail::largest(&none, 0, -1.0F) == -1);
}
