// SPDX-License-Identifier: MIT
#include <deepseek/format/dtype.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace format = deepseek::format;
using deepseek::bf16;

namespace {

// The value of a binary16 code from its definition: (-1)^s * 1.f * 2^(e - 15).
double half_by_definition(std::uint16_t code) {
    int const exponent = (code >> 10) & 0x1F;
    int const fraction = code & 0x3FF;
    double const sign = (code & 0x8000) != 0 ? -1 : 1;
    if (exponent == 31) {
        return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                             : sign * std::numeric_limits<double>::infinity();
    }
    return exponent == 0 ? sign * std::ldexp(fraction, -24)
                         : sign * std::ldexp(1024 + fraction, exponent - 25);
}

template <class T>
std::vector<std::byte> bytes_of(std::vector<T> const& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
}

}  // namespace

TEST_CASE("half_to_float: every one of the 65536 codes has the value of its definition") {
    for (std::uint32_t code = 0; code < 65'536; ++code) {
        auto const expected = half_by_definition(static_cast<std::uint16_t>(code));
        auto const found = format::half_to_float(static_cast<std::uint16_t>(code));
        bool const same = std::isnan(expected) ? std::isnan(found)
                                               : static_cast<double>(found) == expected &&
                                                     std::signbit(found) == std::signbit(expected);
        REQUIRE_MESSAGE(same, "code ", code, ": expected ", expected, ", found ", found);
    }
}

TEST_CASE("DType: names are read back and unknown names are not") {
    for (int i = 0; i <= static_cast<int>(format::DType::u64); ++i) {
        auto const type = static_cast<format::DType>(i);
        CHECK(format::dtype_named(format::name(type)) == type);
        CHECK(format::bits(type) > 0);
    }
    CHECK(format::bits(format::DType::f6_e2m3) == 6);
    CHECK(format::bits(format::DType::bf16) == 16);
    CHECK_FALSE(format::dtype_named("f32"));
    CHECK_FALSE(format::dtype_named(""));
}

TEST_CASE("decode: converts from every float type at any alignment") {
    std::vector<double> const values{0.0,  -0.0,    1.0,
                                     -2.5, 0.15625, 65'504.0};  // exact in all four types but bf16
    auto const from = [&](format::DType type, std::vector<std::byte> const& bytes, auto zero) {
        std::vector<std::byte> shifted(bytes.size() + 1);
        std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
        std::vector<decltype(zero)> decoded(values.size(), zero);
        format::decode<decltype(zero)>(type, std::span<std::byte const>(shifted).subspan(1), decoded);
        return decoded;
    };
    std::vector<float> const floats(values.begin(), values.end());
    std::vector<bf16> rounded;
    for (auto const value : floats) {
        rounded.emplace_back(value);
    }
    std::vector<std::uint16_t> const halves{0x0000, 0x8000, 0x3C00, 0xC100, 0x3100, 0x7BFF};

    CHECK(from(format::DType::f64, bytes_of(values), 0.0) == values);
    CHECK(from(format::DType::f32, bytes_of(floats), 0.0) == values);
    CHECK(from(format::DType::f16, bytes_of(halves), 0.0) == values);
    CHECK(from(format::DType::f64, bytes_of(values), 0.0F) == floats);
    CHECK(from(format::DType::f16, bytes_of(halves), 0.0F) == floats);
    CHECK(from(format::DType::f64, bytes_of(values), bf16{}) == rounded);
    CHECK(from(format::DType::f32, bytes_of(floats), bf16{}) == rounded);
    CHECK(from(format::DType::bf16, bytes_of(rounded), bf16{}) == rounded);
    auto const widened = from(format::DType::bf16, bytes_of(rounded), 0.0);
    CHECK(widened[3] == -2.5);
    CHECK(widened[5] == 65'536.0);  // 65504 rounds up to the next bf16
    CHECK(std::signbit(widened[1]));
}

TEST_CASE("encode: is undone by decode for every pair of types where nothing is lost") {
    std::vector<float> const values{1.5F, -3.0F, 0.0078125F};  // few mantissa bits
    for (auto const type : {format::DType::f64, format::DType::f32, format::DType::bf16}) {
        std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(format::bits(type) / 8));
        format::encode<float>(values, type, bytes);
        std::vector<float> back(values.size());
        format::decode<float>(type, bytes, back);
        CHECK(back == values);
    }
}

TEST_CASE("decode and encode refuse other types and sizes") {
    std::vector<float> values(2);
    std::vector<std::byte> bytes(8);
    CHECK_THROWS_AS(format::decode<float>(format::DType::i32, bytes, values), deepseek::Error);
    CHECK_THROWS_AS(format::decode<float>(format::DType::f64, bytes, values), deepseek::Error);
    CHECK_THROWS_AS(format::encode<float>(values, format::DType::f16, std::span(bytes).first(4)),
                    deepseek::Error);
    CHECK_THROWS_AS(format::encode<float>(values, format::DType::f64, bytes), deepseek::Error);
    CHECK_NOTHROW(format::decode<float>(format::DType::f32, {}, {}));
}

TEST_CASE(
    "float8_to_float: all codes are sign, exponent and fraction, and the last of each sign is no number") {
    for (unsigned code = 0; code < 256; ++code) {
        CAPTURE(code);
        auto const value = format::float8_to_float(static_cast<std::uint8_t>(code));
        auto const exponent = static_cast<int>(code >> 3U & 15U);
        auto const fraction = static_cast<int>(code & 7U);
        if ((code & 0x7FU) == 0x7FU) {
            CHECK(std::isnan(value));
            continue;
        }
        auto const magnitude =
            exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
        CHECK(value == static_cast<float>(code >= 128 ? -magnitude : magnitude));
        CHECK(std::signbit(value) == (code >= 128));
    }
    CHECK(format::float8_to_float(0x38) == 1);
    CHECK(format::float8_to_float(0x7E) == 448);
    CHECK(format::float8_to_float(0x01) == 0x1p-9F);
}
