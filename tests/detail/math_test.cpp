// SPDX-License-Identifier: MIT
#include <deepseek/detail/constexpr_math.hpp>
#include <deepseek/detail/sin_cos.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

namespace {

namespace detail = deepseek::detail;
namespace constant = deepseek::detail::constant;

}  // namespace

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
