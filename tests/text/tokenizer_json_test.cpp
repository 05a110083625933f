// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/text/load.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/tokenizer_json.hpp>
#include <deepseek/text/vocab_merges.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

using deepseek::FileError;
using deepseek::FormatError;
using deepseek::Token;
using deepseek::text::kGpt2Pattern;
using deepseek::text::load_tokenizer;
using deepseek::text::load_vocab_merges;
using deepseek::text::parse_tokenizer_json;
using deepseek::text::SplitRule;
using deepseek::text::to_tokenizer_json;
using deepseek::text::Tokenizer;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;
using nlohmann::json;
using Tokens = std::vector<Token>;

namespace {

// The smallest file with a merge, a rule and a special token.
json small() {
    return json::parse(R"({
        "version": "1.0",
        "added_tokens": [{"id": 4, "content": "<|end_of_text|>", "single_word": false, "lstrip": false,
                          "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3}, "merges": ["a b"]}
    })");
}

std::string refusal(json const& root) {
    return error_of<FormatError>([&] { Tokenizer{parse_tokenizer_json(root.dump(), "t.json")}; });
}

std::string refusal(std::string const& pointer, json const& value) {
    auto root = small();
    root[json::json_pointer(pointer)] = value;
    return refusal(root);
}

void write(std::filesystem::path const& path, std::string_view text) { std::ofstream(path) << text; }

}  // namespace

TEST_CASE("tokenizer.json: a small file") {
    Tokenizer const tokenizer(parse_tokenizer_json(small().dump()));
    CHECK(tokenizer.vocabulary_size() == 5);
    CHECK(tokenizer.encode("ab a") == Tokens{3, 2, 0});
    CHECK(tokenizer.end_of_text() == 4);
    CHECK(tokenizer.data().rules == std::vector<SplitRule>{{{}, std::string(kGpt2Pattern)}});
}

TEST_CASE("tokenizer.json: merges as lists, and with blanks in their parts") {
    auto root = small();
    root["model"]["merges"] = json::parse(R"([["a", "b"]])");
    CHECK(Tokenizer(parse_tokenizer_json(root.dump())).encode("ab") == Tokens{3});
    root["model"]["vocab"]["a b"] = 5;
    root["model"]["vocab"]["a bb"] = 6;
    root["model"]["merges"].push_back({"a b", "b"});
    auto const data = parse_tokenizer_json(root.dump());
    CHECK(parse_tokenizer_json(to_tokenizer_json(data)) == data);
}

TEST_CASE("tokenizer.json: the rules of a sequence are kept in order") {
    auto root = small();
    root["pre_tokenizer"] = json::parse(R"({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "[\r\n]"}, "behavior": "Isolated", "invert": false},
        {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"String": "--"}, "behavior": "Removed", "invert": true},
            {"type": "Digits", "individual_digits": true}, {"type": "Digits", "individual_digits": false}]},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})");
    auto const rules = parse_tokenizer_json(root.dump()).rules;
    REQUIRE(rules.size() == 4);
    CHECK(rules[0].pattern == "[\r\n]");
    CHECK(rules[1].kind == SplitRule::Kind::literal);
    CHECK(rules[1].behavior == SplitRule::Behavior::removed);
    CHECK(rules[1].invert);
    CHECK(rules[2].pattern == "\\p{N}");
    CHECK(rules[3].pattern == "\\p{N}+");
}

TEST_CASE("tokenizer.json: what is written is what is read") {
    auto const same = [](deepseek::text::TokenizerData const& data) {
        return parse_tokenizer_json(to_tokenizer_json(data)) == data;
    };
    CHECK(same(deepseek::text::byte_tokenizer().data()));
    auto root = small();
    root["model"]["ignore_merges"] = true;
    root["post_processor"] = {{"type", "ByteLevel"}, {"trim_offsets", false}};
    root["added_tokens"].push_back({{"id", 9}, {"content", "\"quoted\"\n\\"}, {"special", false}});
    root["pre_tokenizer"]["add_prefix_space"] = true;
    auto const data = parse_tokenizer_json(root.dump());
    CHECK(data.ignore_merges);
    CHECK(data.add_prefix_space);
    CHECK(data.added[1].normalized);  // not said: normalized if not special
    CHECK(same(data));
    auto with_rules = data;
    with_rules.add_prefix_space = false;
    with_rules.rules = {{SplitRule::Kind::literal, "-", {}, SplitRule::Behavior::removed, true},
                        {SplitRule::Kind::regex, "\\p{N}{1,3}"}};
    CHECK(same(with_rules));
    with_rules.rules.clear();
    CHECK(same(with_rules));
}

TEST_CASE("tokenizer.json: what the format cannot hold is not written") {
    auto data = deepseek::text::byte_tokenizer().data();
    data.rules = {{SplitRule::Kind::regex, "\\p{N}{1,3}+", deepseek::text::RegexFlavor::rust}};
    CHECK(mentions(error_of<deepseek::Error>([&] { to_tokenizer_json(data); }), "\\p{N}{1,3}+"));
    data.rules = {{SplitRule::Kind::regex, "\\p{N}"}};
    data.add_prefix_space = true;
    CHECK(mentions(error_of<deepseek::Error>([&] { to_tokenizer_json(data); }), "add_prefix_space"));
}

TEST_CASE("tokenizer.json: unknown components are refused by name") {
    CHECK(mentions(refusal("/model/type", "Unigram"), "t.json", "model", "Unigram"));
    CHECK(mentions(refusal("/model/dropout", 0.1), "dropout", "0.1"));
    CHECK(mentions(refusal("/model/continuing_subword_prefix", "##"), "continuing_subword_prefix", "##"));
    CHECK(mentions(refusal("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix"));
    CHECK(mentions(refusal("/model/unk_token", "<unk>"), "unk_token", "lacks"));
    CHECK(mentions(refusal("/model/byte_fallback", true), "byte_fallback"));
    CHECK(mentions(refusal("/normalizer", {{"type", "NFC"}}), "normalizer NFC"));
    CHECK(mentions(
        refusal("/normalizer", json::parse(R"({"type": "Sequence", "normalizers": [{"type": "NFKC"}]})")),
        "normalizer NFKC"));
    CHECK(mentions(refusal("/decoder", {{"type", "WordPiece"}}), "decoder WordPiece"));
    CHECK(mentions(refusal("/pre_tokenizer", {{"type", "Metaspace"}}), "pre_tokenizer Metaspace"));
    CHECK(mentions(refusal("/pre_tokenizer", nullptr), "ByteLevel"));
    CHECK(mentions(refusal("/pre_tokenizer", {{"type", "Digits"}}), "ByteLevel"));
    CHECK(mentions(refusal("/pre_tokenizer", json::parse(R"({"type": "Sequence", "pretokenizers": [
                       {"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits"}]})")),
                   "Digits behind ByteLevel"));
    CHECK(mentions(refusal("/pre_tokenizer", json::parse(R"({"type": "Sequence", "pretokenizers": [
                       {"type": "Digits"}, {"type": "ByteLevel"}]})")),
                   "add_prefix_space behind"));
    CHECK(mentions(refusal("/pre_tokenizer", json::parse(R"({"type": "Split", "pattern": {"Regex": "a"},
                       "behavior": "MergedWithPrevious", "invert": false})")),
                   "MergedWithPrevious"));
    CHECK(mentions(refusal("/added_tokens/0/lstrip", true), "<|end_of_text|>", "lstrip"));
    CHECK(mentions(refusal("/added_tokens/0/single_word", true), "single_word"));
}

TEST_CASE("tokenizer.json: wrong types, missing parts and contradictions are named") {
    CHECK(mentions(refusal(json::array()), "object", "array"));
    auto root = small();
    root.erase("model");
    CHECK(mentions(refusal(root), "\"model\""));
    CHECK(mentions(refusal("/model/vocab", json::array()), "vocab", "array"));
    CHECK(mentions(refusal("/model/vocab/a", "x"), "'a'", "integer"));
    CHECK(mentions(refusal("/model/vocab/a", -1), "'a'", "-1"));
    CHECK(mentions(refusal("/model/vocab/a", 1.5), "'a'", "1.5"));
    CHECK(mentions(refusal("/model/vocab/a", 1), "same id 1"));
    CHECK(mentions(refusal("/model/vocab/a", 2'000'000'000), "far id"));
    CHECK(mentions(refusal("/model/vocab/a", 4'000'000'000U), "4000000000"));
    CHECK(mentions(refusal("/model/vocab/", 7), "empty"));
    CHECK(mentions(refusal("/model/merges", "a b"), "merges", "string"));
    CHECK(mentions(refusal("/model/merges/0", "ab"), "merge 0", "'ab'"));
    CHECK(mentions(refusal("/model/merges/0", "a b b"), "merge 0", "'a b b'"));
    CHECK(mentions(refusal("/model/merges/0", "a z"), "merge 0", "'z'"));
    CHECK(mentions(refusal("/model/merges/0", "b a"), "merge 0", "'ba'"));
    CHECK(mentions(refusal("/model/merges/0", 3), "merge 0"));
    CHECK(mentions(refusal("/added_tokens", 3), "added_tokens"));
    CHECK(mentions(refusal("/added_tokens/0/id", 0), "<|end_of_text|>", "'a'"));
    CHECK(mentions(refusal("/added_tokens/0/special", 1), "special"));
    CHECK(mentions(refusal("/pre_tokenizer/use_regex", "yes"), "use_regex"));
    CHECK(mentions(refusal("/pre_tokenizer/type", 3), "type"));
    root = small();
    root["added_tokens"][0].erase("content");
    CHECK(mentions(refusal(root), "content"));
}

TEST_CASE("tokenizer.json: text that is not JSON, or nests without end, is an error") {
    auto const error = [](std::string const& text) {
        return error_of<FormatError>([&] { parse_tokenizer_json(text, "t.json"); });
    };
    CHECK(mentions(error(""), "t.json"));
    CHECK(mentions(error("{\"model\": "), "t.json"));
    CHECK(mentions(error(std::string(1'000'000, '[')), "t.json"));
    std::string nested;
    for (int i = 0; i < 100'000; ++i) {
        nested += R"({"type": "Sequence", "pretokenizers": [)";
    }
    CHECK(mentions(error("{\"pre_tokenizer\": " + nested), "t.json"));
    // Cut anywhere, the file is an error and never a crash.
    auto const whole = small().dump();
    for (std::size_t size = 0; size < whole.size(); ++size) {
        if (error(whole.substr(0, size)) == "nothing thrown") {
            FAIL("accepted the first ", size, " bytes");
        }
    }
}

TEST_CASE("loading: a file, a directory, and what names end-of-text") {
    ScratchDirectory const scratch;
    auto const file = scratch / "tokenizer.json";
    auto root = small();
    root["added_tokens"].push_back({{"id", 5}, {"content", "<other>"}, {"special", true}});
    write(file, root.dump());
    CHECK(load_tokenizer(file).end_of_text() == 4);
    CHECK(load_tokenizer(scratch.path()).end_of_text() == 4);
    auto const config = scratch / "tokenizer_config.json";
    write(config, R"({"eos_token": "<other>"})");
    CHECK(load_tokenizer(scratch.path()).end_of_text() == 5);
    write(config, R"({"eos_token": {"content": "<other>"}})");
    CHECK(load_tokenizer(scratch.path()).end_of_text() == 5);
    write(config, R"({"eos_token": null})");
    CHECK(load_tokenizer(scratch.path()).end_of_text() == 4);
    write(config, R"({"eos_token": "<none>"})");
    CHECK(
        mentions(error_of<FormatError>([&] { load_tokenizer(scratch.path()); }), config.native(), "<none>"));
    write(config, deepseek::text::to_tokenizer_config(load_tokenizer(file)));
    CHECK(load_tokenizer(scratch.path()).end_of_text() == 4);
    CHECK(mentions(error_of<FileError>([&] { load_tokenizer(scratch / "missing"); }), "missing",
                   "No such file"));
    std::filesystem::create_directory(scratch / "empty");
    CHECK(
        mentions(error_of<FileError>([&] { load_tokenizer(scratch / "empty"); }), "empty", "tokenizer.json"));
}

TEST_CASE("begin_texts_with: other programs begin texts with the token, encoding here stays as it was") {
    auto data = parse_tokenizer_json(small().dump());
    Tokenizer const plain(data);
    deepseek::text::begin_texts_with(data, 4);
    auto const processor = nlohmann::json::parse(data.post_processor);
    CHECK(processor["type"] == "TemplateProcessing");
    CHECK(processor["single"][0]["SpecialToken"]["id"] == "<|end_of_text|>");
    CHECK(processor["single"][1]["Sequence"]["id"] == "A");
    CHECK(processor["special_tokens"]["<|end_of_text|>"]["ids"] == nlohmann::json{4});
    auto const again = parse_tokenizer_json(deepseek::text::to_tokenizer_json(data));
    CHECK(again == data);
    CHECK(Tokenizer(again).encode("ab") == plain.encode("ab"));
    CHECK(mentions(deepseek::text::to_tokenizer_config(plain), R"("bos_token": "<|end_of_text|>")",
                   R"("eos_token": "<|end_of_text|>")"));
    CHECK(mentions(error_of<deepseek::Error>([&] { deepseek::text::begin_texts_with(data, 1); }),
                   "token 1 is no added token"));
}

TEST_CASE("loading: saving and loading again gives the same tokenizer") {
    ScratchDirectory const scratch;
    Tokenizer const tokenizer(parse_tokenizer_json(small().dump()));
    save_tokenizer(tokenizer, scratch / "copy.json");
    CHECK(load_tokenizer(scratch / "copy.json").data() == tokenizer.data());
}

TEST_CASE("loading: GPT-2's pair of files") {
    ScratchDirectory const scratch;
    write(scratch / "vocab.json", R"({"a": 0, "b": 1, "Ġ": 2, "ab": 3, "<|endoftext|>": 4})");
    write(scratch / "merges.txt", "#version: 0.2\r\na b\r\n\r\n");
    auto const tokenizer = load_tokenizer(scratch.path());
    CHECK(tokenizer.encode("ab b") == Tokens{3, 2, 1});
    CHECK(tokenizer.end_of_text() == 4);
    CHECK(tokenizer.data().rules.front().pattern == kGpt2Pattern);
    write(scratch / "merges.txt", "#version: 0.2\na b\nab\n");
    CHECK(mentions(error_of<FormatError>([&] { load_tokenizer(scratch.path()); }), "merges.txt", "line 3",
                   "'ab'"));
    write(scratch / "merges.txt", "a c\n");
    CHECK(mentions(error_of<FormatError>([&] { load_tokenizer(scratch.path()); }), "merges.txt", "merge 0",
                   "'c'"));
    write(scratch / "merges.txt", "a \xFF\n");
    CHECK(mentions(error_of<FormatError>([&] { load_tokenizer(scratch.path()); }), "merges.txt", "UTF-8"));
    write(scratch / "vocab.json", "[]");
    write(scratch / "merges.txt", "");
    CHECK(mentions(error_of<FormatError>([&] { load_tokenizer(scratch.path()); }), "vocab.json", "object"));
}

TEST_CASE("tokenizer.json: what it holds is quoted in messages, and shortened") {
    std::string const nasty = "\\u001b[2J" + std::string(200'000, 'x');
    for (auto const& text :
         {R"({"model": {"type": ")" + nasty + "\"}}",
          R"({"model": {"type": "BPE", "vocab": {")" + nasty + R"(": 0, ")" + nasty +
              R"(y": 0}, "merges": []}})",
          R"({"model": {"type": "BPE", "vocab": {")" + nasty + R"(": "x"}, "merges": []}})",
          R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [")" + nasty + R"("]}})",
          R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "normalizer": {"type": ")" + nasty +
              "\"}}"}) {
        std::string const error = deepseek_tests::error_of<deepseek::FormatError>(
            [&] { deepseek::text::parse_tokenizer_json(text, "t.json"); });
        CAPTURE(error.substr(0, 300));
        CHECK(error.starts_with("t.json: "));
        CHECK(error.size() < 1000);
        CHECK(error.find('\x1b') == error.npos);
    }
}

TEST_CASE("tokenizers from files: no other exceptions than the library's, no waiting") {
    deepseek_tests::ScratchDirectory const scratch;
    auto const failure = [](std::filesystem::path const& path) {
        return deepseek_tests::error_of<deepseek::Error>([&] { deepseek::text::load_tokenizer(path); });
    };
    std::filesystem::create_symlink("loop", scratch / "loop");
    CHECK(deepseek_tests::mentions(failure(scratch / "loop"), "loop", "symbolic links"));
    CHECK(deepseek_tests::mentions(failure(scratch / std::string(300, 'n')), "name too long"));
    std::filesystem::create_directory(scratch / "d");
    std::filesystem::create_symlink("tokenizer.json", scratch / "d" / "tokenizer.json");
    CHECK(deepseek_tests::mentions(failure(scratch / "d"), "tokenizer.json", "symbolic links"));
    std::filesystem::remove(scratch / "d" / "tokenizer.json");
    REQUIRE(::mkfifo((scratch / "d" / "tokenizer.json").c_str(), 0600) == 0);
    CHECK(deepseek_tests::mentions(failure(scratch / "d"), "tokenizer.json", "not a regular file"));
}
