// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/text/load.hpp>
#include <deepseek/text/tiktoken.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/tokenizer_json.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

using deepseek::FormatError;
using deepseek::Token;
using deepseek::text::parse_tiktoken;
using deepseek::text::TiktokenEncoding;
using deepseek::text::Tokenizer;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;

namespace {

std::string base64(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t bits = 0;
        for (std::size_t k = 0; k < 3; ++k) {
            bits = bits << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
        }
        for (std::size_t k = 0; k < 4; ++k) {
            text += i + k > bytes.size() ? '=' : digits[bits >> (18 - 6 * k) & 63U];
        }
    }
    return text;
}

// All bytes, then the tokens given.
std::string rank_file(std::vector<std::string> const& tokens) {
    std::string text;
    for (unsigned byte = 0; byte < 256; ++byte) {
        text += base64(std::string(1, static_cast<char>(byte))) + " " + std::to_string(byte) + "\n";
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        text += base64(tokens[i]) + " " + std::to_string(256 + i) + "\n";
    }
    return text;
}

// Words are runs of a, b and c.
TiktokenEncoding const kLetters{"letters", "[abc]+", {{"<|endoftext|>", 1000}}};

// By definition: of all neighbours that joined are a token, the leftmost of the lowest rank, again and again.
std::vector<Token> encoded_by_definition(std::vector<std::string> const& tokens, std::string const& word) {
    std::map<std::string, Token> ranks;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        ranks[tokens[i]] = static_cast<Token>(256 + i);
    }
    if (ranks.contains(word)) {
        return {ranks[word]};
    }
    std::vector<std::string> parts;
    for (char const letter : word) {
        parts.emplace_back(1, letter);
    }
    for (;;) {
        auto lowest = std::numeric_limits<Token>::max();
        std::size_t best = 0;
        for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
            auto const found = ranks.find(parts[i] + parts[i + 1]);
            if (found != ranks.end() && found->second < lowest) {
                lowest = found->second;
                best = i;
            }
        }
        if (lowest == std::numeric_limits<Token>::max()) {
            break;
        }
        parts[best] += parts[best + 1];
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    std::vector<Token> ids;
    for (auto const& part : parts) {
        ids.push_back(part.size() == 1 ? static_cast<Token>(static_cast<unsigned char>(part[0]))
                                       : ranks[part]);
    }
    return ids;
}

}  // namespace

TEST_CASE("tiktoken: neighbours merge by the rank of what they make, as the definition says") {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        CAPTURE(seed);
        deepseek::RandomKey const key(deepseek::Seed{seed});
        std::uint64_t counter = 0;
        auto const below = [&](std::uint64_t count) { return key.bits(counter++) % count; };
        // As learning makes them: each of two that were there before; a few come from nowhere.
        std::vector<std::string> pieces = {"a", "b", "c"};
        std::vector<std::string> tokens;
        std::map<std::string, bool> known;
        for (int i = 0; i < 25; ++i) {
            auto token = pieces[below(pieces.size())] + pieces[below(pieces.size())];
            if (i == 20) {
                token = "abcab";
            }
            if (token.size() <= 8 && !known[token]) {
                known[token] = true;
                tokens.push_back(token);
                pieces.push_back(token);
            }
        }
        Tokenizer const tokenizer(parse_tiktoken(rank_file(tokens), "ranks", kLetters));
        for (int i = 0; i < 200; ++i) {
            std::string word;
            for (auto length = 1 + below(30); length > 0; --length) {
                word += static_cast<char>('a' + below(3));
            }
            CAPTURE(word);
            auto const ids = tokenizer.encode(word);
            CHECK(tokenizer.decode(ids) == word);
            CHECK(ids == encoded_by_definition(tokens, word));
        }
        // It survives being written as a tokenizer.json.
        auto const again = deepseek::text::parse_tokenizer_json(to_tokenizer_json(tokenizer.data()));
        CHECK(again.vocabulary == tokenizer.data().vocabulary);
        CHECK(again.merges == tokenizer.data().merges);
        CHECK(again.ignore_merges);
    }
}

TEST_CASE("tiktoken: a file is known by its name, and what is wrong with it is named") {
    ScratchDirectory const scratch;
    auto const load = [&](std::string const& name, std::string const& text) {
        deepseek::write_file_atomically(scratch / name, text);
        return deepseek::text::load_tokenizer(scratch / name);
    };
    auto const tokenizer = load("r50k_base.tiktoken", rank_file({" b", "ab"}));
    CHECK(tokenizer.encode("ab ba") == std::vector<Token>{257, 256, 'a'});
    CHECK(tokenizer.end_of_text() == 50256);
    CHECK(load("cl100k_base.tiktoken", rank_file({})).end_of_text() == 100257);
    auto const complaint = [&](std::string const& text) {
        return error_of<FormatError>([&] { load("r50k_base.tiktoken", text); });
    };
    CHECK(mentions(error_of<FormatError>([&] { load("mine.tiktoken", rank_file({})); }), "mine.tiktoken",
                   "r50k_base"));
    CHECK(mentions(complaint(rank_file({}).substr(7)), "byte 0 has no token"));
    CHECK(mentions(complaint("AA= 0\n"), "r50k_base.tiktoken: line 1"));
    CHECK(mentions(complaint(rank_file({}) + "!!!! 300"), "line 257", "!!!! 300"));
    for (std::string const rank : {"", "x", "-1", "12x", "99999999", "99999999999999999999999"}) {
        CHECK(mentions(complaint(rank_file({}) + "QUJD " + rank), "line 257"));
    }
    CHECK(mentions(complaint(rank_file({}) + "QUJD 7"), "rank 7 was given before"));
    CHECK(mentions(complaint(""), "byte 0 has no token"));
}
