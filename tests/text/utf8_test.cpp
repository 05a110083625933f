// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/text/byte_level.hpp>
#include <deepseek/text/utf8.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <set>
#include <string>
#include <string_view>

using namespace std::string_literals;
using deepseek::text::append_utf8;
using deepseek::text::from_byte_level;
using deepseek::text::to_byte_level;
using deepseek::text::utf8_code_point;
using deepseek::text::utf8_step;
using deepseek::text::Utf8Step;
using deepseek::text::Utf8Stream;
using deepseek::text::valid_utf8_prefix;

TEST_CASE("utf8: every code point but the surrogates is one whole character") {
    for (char32_t code = 0; code < 0x110000; ++code) {
        std::string text;
        append_utf8(text, code);
        auto const step = utf8_step(text);
        bool const surrogate = code >= 0xD800 && code < 0xE000;
        bool const right = surrogate ? step.kind == Utf8Step::invalid
                                     : step.kind == Utf8Step::complete && step.length == text.size() &&
                                           utf8_code_point(text) == code;
        if (!right) {
            FAIL("code point ", static_cast<unsigned>(code));
        }
        for (std::size_t length = 1; !surrogate && length < text.size(); ++length) {
            auto const part = utf8_step(std::string_view(text).substr(0, length));
            if (part.kind != Utf8Step::incomplete || part.length != length) {
                FAIL("a part of code point ", static_cast<unsigned>(code));
            }
        }
    }
}

TEST_CASE("utf8: the first byte that is wrong is found") {
    std::string const good = "plain text, é, €, 😀 and more of it";
    CHECK(valid_utf8_prefix(good) == good.size());
    CHECK(valid_utf8_prefix("") == 0);
    for (std::size_t at = 0; at <= good.size(); ++at) {
        if (at < good.size() && (static_cast<unsigned char>(good[at]) & 0xC0U) == 0x80U) {
            continue;  // a byte put inside a character spoils that character's first byte
        }
        auto bad = good;
        bad.insert(at, "\xFF");
        CHECK(valid_utf8_prefix(bad) == at);
    }
    // Overlong forms, a surrogate, a number above U+10FFFF, a lone continuation, a cut character.
    for (auto const& bad : {"\xC0\xAF"s, "\xE0\x80\xAF"s, "\xF0\x80\x80\xAF"s, "\xED\xA0\x80"s,
                            "\xF4\x90\x80\x80"s, "\xF5\x80\x80\x80"s, "\x80"s, "\xE2\x82"s}) {
        CHECK(valid_utf8_prefix("ok " + bad) == 3);
    }
}

TEST_CASE("utf8: the error names the text, the offset and the byte") {
    auto const error = deepseek_tests::error_of<deepseek::FormatError>(
        [] { deepseek::text::expects_utf8("four\xA7", "file.txt"); });
    CHECK(error == "file.txt: not UTF-8 at byte 4 (0xa7)");
}

TEST_CASE("utf8: a stream gives whole characters whatever the pieces") {
    std::string const text = "aé€😀z";
    for (std::size_t piece = 1; piece <= text.size(); ++piece) {
        Utf8Stream stream;
        std::string out;
        for (std::size_t at = 0; at < text.size(); at += piece) {
            auto const part = stream.push(std::string_view(text).substr(at, piece));
            CHECK(valid_utf8_prefix(part) == part.size());
            out += part;
        }
        CHECK(out + stream.finish() == text);
    }
    Utf8Stream stream;
    CHECK(stream.push("\xE2\x82") == "");
    CHECK(stream.push("\xAC!") == "€!");
}

TEST_CASE("utf8: a stream replaces bytes that can become no character") {
    // The examples of the Unicode Standard, tables 3-8 to 3-11: one U+FFFD per maximal subpart.
    auto const decoded = [](std::string_view bytes) {
        Utf8Stream stream;
        std::string out;
        for (char const byte : bytes) {
            out += stream.push(std::string_view(&byte, 1));
        }
        return out + stream.finish();
    };
    CHECK(decoded("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") ==
          "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
    CHECK(decoded("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") ==
          "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
    CHECK(decoded("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") == "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA\uFFFD\uFFFDB");
    CHECK(decoded("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == "\uFFFD\uFFFD\uFFFD\uFFFDA");
    CHECK(decoded("x\xF0\x9F\x98") == "x\uFFFD");
}

TEST_CASE("byte level: every byte has a visible character of its own") {
    std::set<std::string> seen;
    for (unsigned byte = 0; byte < 256; ++byte) {
        std::string const bytes(1, static_cast<char>(byte));
        auto const text = to_byte_level(bytes);
        CHECK(seen.insert(text).second);
        CHECK(utf8_code_point(text) > 0x20);
        CHECK(from_byte_level(text) == bytes);
    }
    CHECK(to_byte_level(" a\n\xC3\xA9") == "ĠaĊÃ©");
    CHECK(to_byte_level("\xAD") == "Ń");  // the last of those that do not stand for themselves
}

TEST_CASE("byte level: what stands for no byte is refused") {
    CHECK(from_byte_level("").value() == "");
    CHECK_FALSE(from_byte_level("a b"));
    CHECK_FALSE(from_byte_level("日"));
    CHECK_FALSE(from_byte_level("\u00AD"));
    CHECK_FALSE(from_byte_level("\u0144"));
    CHECK_FALSE(from_byte_level("\xC4"));
}
