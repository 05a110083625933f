// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace ds = deepseek;

namespace {

float bf16_of(float value) { return static_cast<float>(ds::bf16(value)); }

}  // namespace

TEST_CASE("bf16: every value survives the way through float, NaN stays NaN") {
    for (std::uint32_t bits = 0; bits < 0x1'0000U; ++bits) {
        ds::bf16 value;
        value.bits = static_cast<std::uint16_t>(bits);
        auto const wide = static_cast<float>(value);
        ds::bf16 const back(wide);
        if (std::isnan(wide)) {
            CHECK(std::isnan(static_cast<float>(back)));
        } else if (back.bits != value.bits) {
            FAIL("bits ", bits, " came back as ", back.bits);
        }
    }
}

TEST_CASE("bf16: rounds to the nearest value, ties to even") {
    constexpr float step = 0x1p-7F;  // between neighbours in [1, 2)
    CHECK(bf16_of(1 + 0.49F * step) == 1);
    CHECK(bf16_of(1 + 0.51F * step) == 1 + step);
    CHECK(bf16_of(1 + 0.5F * step) == 1);             // 1 has the even mantissa
    CHECK(bf16_of(1 + 1.5F * step) == 1 + 2 * step);  // between an odd and an even one
    CHECK(bf16_of(-(1 + 0.51F * step)) == -(1 + step));
}

TEST_CASE("bf16: what is too large becomes infinite, infinities and signed zeros stay") {
    constexpr auto infinity = std::numeric_limits<float>::infinity();
    CHECK(bf16_of(std::numeric_limits<float>::max()) == infinity);
    CHECK(bf16_of(-infinity) == -infinity);
    CHECK(std::signbit(bf16_of(-0.0F)));
    // A NaN whose payload lies in the bits that are cut off must not become an infinity.
    CHECK(std::isnan(bf16_of(std::bit_cast<float>(0x7F80'0001U))));
}

TEST_CASE("convert: through float where one side is bf16, directly otherwise") {
    CHECK(ds::convert<double>(ds::bf16(1.5F)) == 1.5);
    CHECK(ds::convert<ds::bf16>(2.25) == ds::bf16(2.25F));
    CHECK(ds::convert<float>(0.1) == 0.1F);
    CHECK(ds::convert<double>(0.1) == 0.1);
}
