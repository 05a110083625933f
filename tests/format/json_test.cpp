// SPDX-License-Identifier: MIT
#include <deepseek/format/json.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

namespace format = deepseek::format;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using namespace std::string_literals;

TEST_CASE("parse_json: reads what is JSON") {
    auto const json =
        format::parse_json(R"( {"a": [1, -2.5, "\u00e9\ud83d\ude00", null, true], "b": {"a": {}}} )", "x");
    CHECK(json["a"][1] == -2.5);
    CHECK(json["a"][2] == "\u00e9\U0001F600");
    CHECK(json["b"]["a"].is_object());
}

TEST_CASE("parse_json: refuses everything else and names the place") {
    auto const refusal = [](std::string const& text) {
        return error_of<deepseek::FormatError>([&] { format::parse_json(text, "x.json"); });
    };
    CHECK(mentions(refusal(""), "x.json: not valid JSON", "line 1"));
    CHECK(mentions(refusal("{\n 'a': 1}"), "x.json", "line 2"));
    CHECK(mentions(refusal("{} {}"), "x.json"));
    CHECK(mentions(refusal("{} // comment"), "x.json"));
    CHECK(mentions(refusal("{}\0"s), "NUL"));
    CHECK(mentions(refusal("\xEF\xBB\xBF{}"), "byte order mark"));
    CHECK(mentions(refusal("[NaN]"), "x.json"));
    CHECK(mentions(refusal("[1e999]"), "x.json"));
    CHECK(mentions(refusal("[\"\xff\"]"), "x.json"));
    CHECK(mentions(refusal(R"({"a": 1, "b": {"c": 1, "c": 2}})"), "'c' is given twice"));
    CHECK(mentions(refusal(R"([{"a": 1}, {"a": 1}, {"a": [], "a": 1}])"), "'a' is given twice"));
    CHECK(mentions(refusal(std::string(1'000'000, '[')), "deeper than 64"));
    CHECK(refusal(std::string(1'000'000, 'x')).size() < 400);
}

TEST_CASE("parse_json: the deepest nesting allowed is read") {
    auto const nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    CHECK_NOTHROW(format::parse_json(nested(format::kJsonDepthLimit), "x"));
    CHECK_THROWS_AS(format::parse_json(nested(format::kJsonDepthLimit + 2), "x"), deepseek::FormatError);
}
