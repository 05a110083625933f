// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace ds = deepseek;

TEST_CASE("message: joins strings and numbers of every kind") {
    CHECK(ds::message() == "");
    CHECK(ds::message("a", std::string("b"), std::string_view("c")) == "abc");
    CHECK(ds::message(-1, " ", std::uint64_t{18'446'744'073'709'551'615U}, " ",
                      std::numeric_limits<std::int64_t>::min()) ==
          "-1 18446744073709551615 -9223372036854775808");
    CHECK(ds::message(0.1, " ", 0.1F, " ", -1.7976931348623157e308, " ",
                      std::numeric_limits<double>::infinity()) == "0.1 0.1 -1.7976931348623157e+308 inf");
}

TEST_CASE("expects: throws the error it is given, with the whole message, only if the condition fails") {
    CHECK_NOTHROW(ds::expects(true, "not ", 1));
    CHECK_THROWS_WITH_AS(ds::expects<ds::ShapeError>(false, "x has ", 3, " rows"), "x has 3 rows",
                         ds::ShapeError);
    CHECK_THROWS_AS(ds::expects(false, "x"), ds::Error);
}

TEST_CASE("errors: messages are fit for a terminal, whatever names and files hold") {
    CHECK(ds::FormatError("a\x1b[2J\r\x07\x7f\xc2\x9b\tb\nc").what() == std::string("a?[2J????\tb\nc"));
    CHECK(ds::Error("Zürich, 東京").what() == std::string("Zürich, 東京"));
    std::string const text = ds::FileError("begin " + std::string(200'000, 'x') + " end").what();
    CHECK(text.size() < 20'000);
    CHECK(text.starts_with("begin "));
    CHECK(text.ends_with(" end"));
}

TEST_CASE("checked_mul: sizes that do not fit are refused") {
    constexpr auto most = std::numeric_limits<ds::index_t>::max();
    CHECK(ds::checked_mul(0, most) == 0);
    CHECK(ds::checked_mul(most, 0) == 0);
    CHECK(ds::checked_mul(most, 1) == most);
    CHECK(ds::checked_mul(3'037'000'499, 3'037'000'499) == 9'223'372'030'926'249'001);
    CHECK_THROWS_AS(ds::checked_mul(3'037'000'500, 3'037'000'500), ds::Error);
    CHECK_THROWS_AS(ds::checked_mul(most / 2 + 1, 2), ds::Error);
    CHECK_THROWS_AS(ds::checked_mul(-1, 2), ds::Error);
}
