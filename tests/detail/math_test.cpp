// SPDX-License-Identifier: MIT
#include <deepseek/detail/constexpr_math.hpp>
#include <deepseek/detail/math.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace {

namespace detail = deepseek::detail;
namespace constant = deepseek::detail::constant;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Error of a float in units of the last place of the exact value.
double ulps(float given, double exact) {
    auto const rounded = static_cast<float>(exact);
    auto const place = static_cast<double>(std::nextafter(std::abs(rounded), kInfinity)) -
                       static_cast<double>(std::abs(rounded));
    return std::abs(static_cast<double>(given) - exact) / place;
}

}  // namespace

TEST_CASE("exp of a float: within one unit of the last place over the whole range of normal results") {
    double worst = 0;
    for (std::uint32_t bits = 0; bits < 0x42B2'0000U; bits += 97) {  // magnitudes up to 89
        for (auto const x : {std::bit_cast<float>(bits), -std::bit_cast<float>(bits)}) {
            auto const exact = std::exp(static_cast<double>(x));
            if (exact >= 0x1p-126 && exact <= static_cast<double>(std::numeric_limits<float>::max())) {
                worst = std::max(worst, ulps(detail::exp(x), exact));
            }
        }
    }
    CHECK(worst < 1);
}

TEST_CASE("exp of a float: exact at the ends") {
    CHECK(detail::exp(0.0F) == 1);
    CHECK(detail::exp(-0.0F) == 1);
    CHECK(detail::exp(-kInfinity) == 0);
    CHECK(detail::exp(kInfinity) == kInfinity);
    CHECK(detail::exp(-1e30F) == 0);
    CHECK(detail::exp(1e30F) == kInfinity);
    auto const last = 0x1.62e42ep6F;  // the largest argument whose result is finite
    CHECK(std::isfinite(detail::exp(last)));
    CHECK(ulps(detail::exp(last), std::exp(static_cast<double>(last))) < 1);
    CHECK(detail::exp(std::nextafter(last, 100.0F)) == kInfinity);
    auto const first = -0x1.5d589ep6F;  // the smallest argument whose result is normal
    CHECK(detail::exp(first) >= std::numeric_limits<float>::min());
    CHECK(detail::exp(std::nextafter(first, -100.0F)) == 0);
    for (auto const bits : {0x7FC0'0000U, 0x7F80'0001U, 0xFFC0'0000U, 0x7FFF'FFFFU, 0xFFFF'FFFFU}) {
        CHECK(std::isnan(detail::exp(std::bit_cast<float>(bits))));
    }
}

TEST_CASE("sigmoid: close to the exact value, 0 and 1 at the ends, NaN stays") {
    double worst = 0;
    for (float x = -80; x <= 80; x += 0.0137F) {
        worst = std::max(worst, ulps(detail::sigmoid(x), 1 / (1 + std::exp(-static_cast<double>(x)))));
    }
    CHECK(worst < 2.5);  // exp, one addition, one division
    CHECK(detail::sigmoid(-kInfinity) == 0);
    CHECK(detail::sigmoid(kInfinity) == 1);
    CHECK(detail::sigmoid(0.0F) == 0.5F);
    CHECK(std::isnan(detail::sigmoid(std::numeric_limits<float>::quiet_NaN())));
    CHECK(detail::sigmoid(0.3) == doctest::Approx(1 / (1 + std::exp(-0.3))).epsilon(1e-15));
}

TEST_CASE("sqrt of a float: within one unit of the last place, denormal numbers included") {
    double worst = 0;
    for (std::uint32_t bits = 1; bits < 0x7F80'0000U; bits += 9973) {
        auto const x = std::bit_cast<float>(bits);
        worst = std::max(worst, ulps(detail::sqrt(x), std::sqrt(static_cast<double>(x))));
    }
    CHECK(worst < 1);
    CHECK(detail::sqrt(0.0F) == 0);
    CHECK(detail::sqrt(1.0F) == 1);
    CHECK(detail::sqrt(kInfinity) == kInfinity);
    CHECK(detail::sqrt(std::numeric_limits<float>::max()) == std::sqrt(std::numeric_limits<float>::max()));
    CHECK(std::isnan(detail::sqrt(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("sin_cos: as the standard library's to the last digits, at small and at large angles") {
    double worst = 0;
    for (double angle : {0.0, 1e-9, 0.5, 1.0, 3.0, 100.0, 4095.0, 131'071.0, 1.6e7, 6.7e7}) {
        for (int i = 0; i < 2000; ++i) {
            auto const x = angle + i * 0.00713;
            for (auto const signed_x : {x, -x}) {
                auto const both = detail::sin_cos(signed_x);
                worst = std::max(worst, std::abs(both.sin - std::sin(signed_x)));
                worst = std::max(worst, std::abs(both.cos - std::cos(signed_x)));
            }
        }
    }
    CHECK(worst < 4e-16);
    CHECK(detail::sin_cos(0).sin == 0);
    CHECK(detail::sin_cos(0).cos == 1);
}

TEST_CASE("constant exp, log and sqrt: as the standard library's to the last digits") {
    for (double x = -20; x < 20; x += 0.0371) {
        CHECK(constant::exp(x) == doctest::Approx(std::exp(x)).epsilon(1e-15));
    }
    for (double x = 1e-6; x < 1e8; x *= 1.173) {
        CHECK(std::abs(constant::log(x) - std::log(x)) <= 4e-16 * std::max(1.0, std::abs(std::log(x))));
        CHECK(constant::sqrt(x) == doctest::Approx(std::sqrt(x)).epsilon(3e-16));
    }
    CHECK(constant::sqrt(0) == 0);
    CHECK(constant::sqrt(144) == 12);
    CHECK(constant::floor(-0.5) == -1);
    CHECK(constant::floor(2) == 2);
    CHECK(constant::ceil(2.25) == 3);
    CHECK(constant::ceil(-2.25) == -2);
    static_assert(constant::sqrt(2.25) == 1.5 && constant::exp(0) == 1 && constant::log(1) == 0);
}
