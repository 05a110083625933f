// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/text/tokenizer.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>
#include <pthread.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using deepseek::Error;
using deepseek::FormatError;
using deepseek::Token;
using deepseek::text::AddedToken;
using deepseek::text::byte_tokenizer;
using deepseek::text::kGpt2Pattern;
using deepseek::text::SpecialText;
using deepseek::text::StreamDecoder;
using deepseek::text::Tokenizer;
using deepseek::text::TokenizerData;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using Tokens = std::vector<Token>;

namespace {

// Bytes with their values as ids, then the results of the merges.
TokenizerData data_with(std::vector<std::pair<Token, Token>> merges, std::vector<AddedToken> added = {}) {
    auto data = byte_tokenizer().data();
    data.merges = std::move(merges);
    data.added = std::move(added);
    data.end_of_text = -1;
    for (auto const& [left, right] : data.merges) {
        data.vocabulary.push_back(data.vocabulary.at(static_cast<std::size_t>(left)) +
                                  data.vocabulary.at(static_cast<std::size_t>(right)));
    }
    return data;
}

std::string refusal(TokenizerData data) {
    return error_of<FormatError>([&] { Tokenizer{std::move(data)}; });
}

}  // namespace

TEST_CASE("tokenizer: bytes are their values and end-of-text is 256") {
    auto const tokenizer = byte_tokenizer();
    CHECK(tokenizer.vocabulary_size() == 257);
    CHECK(tokenizer.end_of_text() == 256);
    CHECK(tokenizer.is_special(256));
    CHECK_FALSE(tokenizer.is_special(97));
    CHECK(tokenizer.encode("aé\n") == Tokens{97, 0xC3, 0xA9, 10});
    std::string every;
    for (int code = 0; code < 128; ++code) {
        every += static_cast<char>(code);
    }
    CHECK(tokenizer.decode(tokenizer.encode(every)) == every);
    CHECK(tokenizer.bytes(256) == "<|endoftext|>");
    CHECK(tokenizer.encode("").empty());
}

TEST_CASE("tokenizer: merges go by rank, then from the left, and never across words") {
    Tokenizer const ranked(data_with({{'b', 'c'}, {'a', 'b'}}));
    CHECK(ranked.encode("abc") == Tokens{'a', 256});
    CHECK(ranked.encode("ab") == Tokens{257});
    Tokenizer const left(data_with({{'a', 'a'}}));
    CHECK(left.encode("aaa") == Tokens{256, 'a'});
    auto data = data_with({{'a', ' '}});
    CHECK(Tokenizer(data).encode("a b") == Tokens{256, 'b'});
    data.rules = {{{}, std::string(kGpt2Pattern)}};
    CHECK(Tokenizer(data).encode("a b") == Tokens{'a', ' ', 'b'});
}

TEST_CASE("tokenizer: a word that is a token is one only if merging leads there") {
    // "ab" + "c" makes "abc", but "bc" goes first.
    auto data = data_with({{'b', 'c'}, {'a', 'b'}, {257, 'c'}});
    CHECK(Tokenizer(data).encode("abc") == Tokens{'a', 256});
    data.ignore_merges = true;
    CHECK(Tokenizer(data).encode("abc") == Tokens{258});
    CHECK(Tokenizer(data).encode("xabc") == Tokens{'x', 'a', 256});
}

TEST_CASE("tokenizer: special tokens are found where they are asked for, the longest first") {
    Tokenizer const tokenizer(data_with({}, {{"<a>", 256, true, false},
                                             {"<a>b", 257, true, false},
                                             {"<tool>", 258, false, false},
                                             {"x<a>", 259, false, true}}));
    CHECK(tokenizer.vocabulary_size() == 260);
    CHECK(tokenizer.encode("<a>bc<a>", SpecialText::recognized) == Tokens{257, 'c', 256});
    CHECK(tokenizer.encode("<a>") == Tokens{'<', 'a', '>'});
    CHECK(tokenizer.encode("<tool><a", SpecialText::recognized) == Tokens{258, '<', 'a'});
    // Control tokens apart, added tokens are always found.
    CHECK(tokenizer.encode("a<tool>") == Tokens{'a', 258});
    // Normalized ones are looked for in what the others left.
    CHECK(tokenizer.encode("x<a>", SpecialText::recognized) == Tokens{'x', 256});
    CHECK(tokenizer.encode("x<a>") == Tokens{259});
    CHECK(tokenizer.find_added("<tool>") == 258);
    CHECK_FALSE(tokenizer.find_added("<t>"));
    CHECK(tokenizer.is_special(257));
    CHECK_FALSE(tokenizer.is_special(258));
    CHECK(tokenizer.decode(Tokens{257, 'c', 258}) == "<a>bc<tool>");
    CHECK_FALSE(tokenizer.has_end_of_text());
    CHECK_THROWS_AS(tokenizer.end_of_text(), Error);
}

TEST_CASE("tokenizer: a blank can be put in front of every piece of text") {
    auto data = data_with({}, {{"<a>", 256, true, false}});
    data.add_prefix_space = true;
    Tokenizer const tokenizer(data);
    CHECK(tokenizer.encode("b<a>c d", SpecialText::recognized) == Tokens{' ', 'b', 256, ' ', 'c', ' ', 'd'});
    CHECK(tokenizer.encode(" b") == Tokens{' ', 'b'});
    CHECK(tokenizer.encode("").empty());
}

TEST_CASE("tokenizer: ids without a token are named") {
    auto data = data_with({}, {{"<far>", 300, true, false}});
    Tokenizer const tokenizer(data);
    CHECK(tokenizer.vocabulary_size() == 301);
    CHECK(tokenizer.is_token(300));
    CHECK_FALSE(tokenizer.is_token(299));
    CHECK(mentions(error_of<Error>([&] { tokenizer.decode(Tokens{'a', 299}); }), "299", "position 1", "301"));
    CHECK(mentions(error_of<Error>([&] { tokenizer.decode(Tokens{301}); }), "301"));
    CHECK(mentions(error_of<Error>([&] { tokenizer.bytes(-1); }), "-1"));
}

TEST_CASE("tokenizer: text must be UTF-8 and have tokens for its bytes") {
    CHECK(mentions(error_of<FormatError>([] { byte_tokenizer().encode("ab\xFF"); }), "byte 2", "0xff"));
    TokenizerData data;
    data.vocabulary = {"a", "b"};
    CHECK(Tokenizer(data).encode("ab") == Tokens{0, 1});
    CHECK(mentions(error_of<Error>([&] { Tokenizer(data).encode("abc"); }), "byte 99"));
}

TEST_CASE("tokenizer: entries that are not in byte characters stand for themselves") {
    auto data = data_with({});
    data.vocabulary.push_back("<｜end｜>");
    Tokenizer const tokenizer(data);
    CHECK(tokenizer.decode(Tokens{'a', 256}) == "a<｜end｜>");
    CHECK(tokenizer.encode("<｜end｜>").size() == std::string_view("<｜end｜>").size());
}

TEST_CASE("tokenizer: data that contradict themselves are refused") {
    CHECK(mentions(refusal({}), "empty"));
    auto data = data_with({});
    data.vocabulary.push_back("a");
    CHECK(mentions(refusal(data), "'a' twice", "97", "256"));
    data = data_with({});
    data.merges = {{'a', 'b'}};
    CHECK(mentions(refusal(data), "merge 0", "'ab'"));
    data.merges = {{'a', 999}};
    CHECK(mentions(refusal(data), "merge 0", "999"));
    data.merges = {{-1, 'a'}};
    CHECK(mentions(refusal(data), "merge 0", "-1"));
    CHECK(mentions(refusal(data_with({}, {{"x", 256}, {"y", 256}})), "'x'", "'y'", "256"));
    CHECK(mentions(refusal(data_with({}, {{"x", 97}})), "'x'", "97", "'a'"));
    CHECK(mentions(refusal(data_with({}, {{"x", 2'000'000'000}})), "2000000000"));
    CHECK(mentions(refusal(data_with({}, {{"x", -5}})), "-5"));
    CHECK(mentions(refusal(data_with({}, {{"", 256}})), "empty"));
    data = data_with({});
    data.end_of_text = 256;
    CHECK(mentions(refusal(data), "end-of-text", "256"));
}

TEST_CASE("tokenizer: an encoder appends and can be used again") {
    auto const tokenizer = byte_tokenizer();
    Tokenizer::Encoder encoder(tokenizer);
    Tokens tokens = {1};
    encoder.encode("ab", tokens);
    encoder.encode("c<|endoftext|>", tokens, SpecialText::recognized);
    CHECK(tokens == Tokens{1, 'a', 'b', 'c', 256});
}

TEST_CASE("tokenizer: a stream of tokens gives whole characters") {
    auto const tokenizer = byte_tokenizer();
    StreamDecoder decoder(tokenizer);
    CHECK(decoder.push(0xE2) == "");
    CHECK(decoder.push(0x82) == "");
    CHECK(decoder.push(0xAC) == "€");
    CHECK(decoder.push(0xC3) == "");
    CHECK(decoder.finish() == "\uFFFD");
}

TEST_CASE("tokenizer: a word of a megabyte fits a stack of 256 KiB and takes no quadratic time") {
    auto data = data_with({{'a', 'a'}, {256, 256}, {257, 257}});
    data.rules = {{{}, std::string(kGpt2Pattern)}};
    Tokenizer const tokenizer(data);
    struct Work {
        Tokenizer const* tokenizer;
        std::string text;
        Tokens tokens;
    } work{
        &tokenizer, std::string(1 << 20, 'a') + std::string(1 << 20, ' ') + std::string(1 << 20, '\n'), {}};
    pthread_attr_t attributes;
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, 256 * 1024) == 0);
    pthread_t thread{};
    auto const run = [](void* argument) -> void* {
        auto& task = *static_cast<Work*>(argument);
        task.tokens = task.tokenizer->encode(task.text);
        return nullptr;
    };
    REQUIRE(pthread_create(&thread, &attributes, run, &work) == 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    CHECK(work.tokens.size() == (1U << 17U) + (2U << 20U));
    CHECK(tokenizer.decode(work.tokens) == work.text);
}
