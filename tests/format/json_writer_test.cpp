// SPDX-License-Identifier: MIT
#include <deepseek/format/json.hpp>
#include <deepseek/format/json_writer.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <limits>
#include <string>

namespace format = deepseek::format;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using format::detail::json_text;
using namespace std::string_literals;

TEST_CASE("json_text: strings are escaped where they must be, and read back as they were") {
    CHECK(json_text("a\"b\\c/\u00e9\u2028\x7f"s) == "\"a\\\"b\\\\c/\u00e9\u2028\x7f\"");
    CHECK(json_text("\b\t\n\f\r\x01\x1f\0"s) == R"("\b\t\n\f\r\u0001\u001f\u0000")");
    std::string all;
    for (char32_t code : {U'\1', U'\x1F', U' ', U'~', U'\x7F'}) {
        all += static_cast<char>(code);
    }
    all += "\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff";
    CHECK(format::parse_json(json_text(all), "x").get<std::string>() == all);
}

TEST_CASE("json_text: bytes that are not UTF-8 are replaced, or refused where the string has a name") {
    for (auto const& bad :
         {"\x80"s, "\xc0\xaf"s, "\xc3"s, "\xe0\x9f\xbf"s, "\xed\xa0\x80"s, "\xf0\x8f\xbf\xbf"s,
          "\xf4\x90\x80\x80"s, "\xf5\x80\x80\x80"s, "\xff"s, "\xe2\x82"s}) {
        CAPTURE(bad);
        CHECK(mentions(json_text("a" + bad + "b"), "a\uFFFD", "b"));
        CHECK_NOTHROW(format::parse_json(json_text("a" + bad + "b"), "x"));
        CHECK(mentions(error_of<deepseek::Error>([&] { json_text(bad, "the name"); }),
                       "the name is not UTF-8"));
    }
}

TEST_CASE("json_text: numbers are shortest and keep their kind") {
    CHECK(json_text(10000.0) == "10000.0");
    CHECK(json_text(1e-6) == "1e-06");
    CHECK(json_text(0.1) == "0.1");
    CHECK(json_text(-0.0) == "-0.0");
    CHECK(json_text(1e300) == "1e+300");
    CHECK(json_text(std::numeric_limits<std::uint64_t>::max()) == "18446744073709551615");
    CHECK(json_text(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
    CHECK(json_text(true) == "true");
    CHECK(json_text(std::vector<deepseek::index_t>{1, -2}) == "[1,-2]");
    CHECK(json_text(std::vector<deepseek::index_t>{}) == "[]");
    CHECK_THROWS_AS(json_text(std::numeric_limits<double>::infinity()), deepseek::Error);
    CHECK_THROWS_AS(json_text(std::numeric_limits<double>::quiet_NaN()), deepseek::Error);
    for (double const value : {0.1 + 0.2, 5e-324, 1.7976931348623157e308, 1.0 / 3}) {
        CHECK(format::parse_json(json_text(value), "x").get<double>() == value);
    }
}

TEST_CASE("JsonObject: nests with indentation") {
    format::detail::JsonObject inner;
    CHECK(inner.text() == "{}");
    inner.add("x", "1");
    format::detail::JsonObject outer;
    outer.add("a\"", "null");
    outer.add("b", inner.text());
    CHECK(outer.text() == "{\n  \"a\\\"\": null,\n  \"b\": {\n    \"x\": 1\n  }\n}");
    CHECK(format::parse_json(outer.text(), "x")["b"]["x"] == 1);
}
