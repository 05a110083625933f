// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/data/token_file.hpp>
#include <deepseek/data/token_meta.hpp>
#include <deepseek/format/file.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using deepseek::FileError;
using deepseek::FormatError;
using deepseek::index_t;
using deepseek::Token;
using deepseek::data::read_token_meta;
using deepseek::data::TokenFile;
using deepseek::data::TokenWidth;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;
using Tokens = std::vector<Token>;

namespace {

template <class Stored>
void write(std::filesystem::path const& path, std::vector<Stored> const& ids) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<char const*>(ids.data()),
               static_cast<std::streamsize>(ids.size() * sizeof(Stored)));
}
void write_text(std::filesystem::path const& path, std::string_view text) { std::ofstream(path) << text; }

Tokens all(TokenFile const& file) {
    Tokens tokens(static_cast<std::size_t>(file.size()));
    file.read(0, tokens);
    return tokens;
}

}  // namespace

TEST_CASE("token file: two bytes unless meta.json or the caller says four") {
    ScratchDirectory const scratch;
    auto const path = scratch / "train.bin";
    write<std::uint16_t>(path, {1, 0, 65'535, 7});
    CHECK(all(TokenFile(path, 65'536)) == Tokens{1, 0, 65'535, 7});
    CHECK(TokenFile(path, 65'536).width() == TokenWidth::two);
    write<std::uint32_t>(path, {1, 70'000});
    CHECK(all(TokenFile(path, 70'001, TokenWidth::four)) == Tokens{1, 70'000});
    write_text(scratch / "meta.json", R"({"dtype": "uint32", "vocabulary_size": 70001, "end_of_text": 3})");
    CHECK(all(TokenFile(path, 70'001)) == Tokens{1, 70'000});
    CHECK(TokenFile(path, 65'536, TokenWidth::two).size() == 4);
}

TEST_CASE("token file: any part can be read and none behind the end") {
    ScratchDirectory const scratch;
    write<std::uint16_t>(scratch / "t.bin", {1, 2, 3});
    TokenFile const file(scratch / "t.bin", 4);
    Tokens two(2);
    file.read(1, two);
    CHECK(two == Tokens{2, 3});
    for (index_t const begin : {index_t{2}, index_t{-1}, index_t{4}, std::numeric_limits<index_t>::max()}) {
        CHECK(mentions(error_of<deepseek::Error>([&] { file.read(begin, two); }), "t.bin", "there are 3"));
    }
    file.read(3, {});
}

TEST_CASE("token file: an id outside the vocabulary is named with its place") {
    ScratchDirectory const scratch;
    auto const path = scratch / "t.bin";
    write<std::uint16_t>(path, {1, 2, 99, 100, 300});
    TokenFile const file(path, 100);
    Tokens first(3);
    file.read(0, first);
    CHECK(mentions(error_of<FormatError>([&] { all(file); }), path.native(), "token 3 is 100",
                   "vocabulary of 100"));
    write<std::uint32_t>(path, {1, 0xFFFF'FFFF});
    CHECK(mentions(error_of<FormatError>([&] { all(TokenFile(path, 100, TokenWidth::four)); }),
                   "token 1 is 4294967295"));
}

TEST_CASE("token file: missing, empty and odd files are errors") {
    ScratchDirectory const scratch;
    auto const path = scratch / "t.bin";
    CHECK(mentions(error_of<FileError>([&] { TokenFile(path, 10); }), path.native(), "No such file"));
    write_text(path, "");
    CHECK(mentions(error_of<FormatError>([&] { TokenFile(path, 10); }), path.native(), "empty"));
    write_text(path, "abc");
    CHECK(mentions(error_of<FormatError>([&] { TokenFile(path, 10); }), "3 bytes", "uint16"));
    write_text(path, "abcdef");
    CHECK(
        mentions(error_of<FormatError>([&] { TokenFile(path, 10, TokenWidth::four); }), "6 bytes", "uint32"));
    CHECK_THROWS_AS(TokenFile(path, 0), deepseek::Error);
}

TEST_CASE("token file: a meta.json that does not fit is an error") {
    ScratchDirectory const scratch;
    write<std::uint16_t>(scratch / "t.bin", {1});
    auto const meta = scratch / "meta.json";
    auto const error = [&](std::string_view text) {
        write_text(meta, text);
        return error_of<FormatError>([&] { TokenFile(scratch / "t.bin", 100); });
    };
    CHECK(mentions(error(R"({"dtype": "uint16", "vocabulary_size": 101})"), meta.native(), "101",
                   "at most 100"));
    CHECK(mentions(error(R"({"dtype": "int8", "vocabulary_size": 9})"), meta.native(), "dtype", "int8"));
    CHECK(mentions(error(R"({"vocabulary_size": 9})"), "dtype", "missing"));
    CHECK(mentions(error(R"({"dtype": "uint16"})"), "vocabulary_size"));
    CHECK(mentions(error(R"({"dtype": "uint16", "vocabulary_size": -1})"), "vocabulary_size"));
    CHECK(mentions(error(R"({"dtype": "uint16", "vocabulary_size": 9, "end_of_text": 9})"), "end_of_text",
                   "9"));
    CHECK(mentions(error("[]"), "object"));
    CHECK(mentions(error("{"), meta.native(), "JSON"));
    CHECK(error(R"({"dtype": "uint16", "vocabulary_size": 100})") == "nothing thrown");
    CHECK_FALSE(read_token_meta(meta).end_of_text);
    write_text(meta, R"({"dtype": "uint32", "vocabulary_size": 100, "end_of_text": 99, "more": {}})");
    CHECK(read_token_meta(meta).end_of_text == 99);
    CHECK(read_token_meta(meta).vocabulary == 100);
    CHECK(read_token_meta(meta).width == TokenWidth::four);
}

TEST_CASE("token file: a meta.json that was written with other files is an error") {
    ScratchDirectory const scratch;
    write<std::uint16_t>(scratch / "train.bin", {1, 2, 3});
    write<std::uint16_t>(scratch / "validation.bin", {1});
    write_text(scratch / "tokenizer.json", "{}");
    auto const error = [&](int train, int validation, std::string const& tokenizer) {
        write_text(scratch / "meta.json",
                   R"({"dtype": "uint16", "vocabulary_size": 9, "train": {"tokens": )" +
                       std::to_string(train) + R"(}, "validation": {"tokens": )" +
                       std::to_string(validation) + R"(}, "tokenizer_fingerprint": ")" +
                       deepseek::data::fingerprint(tokenizer) + "\"}");
        return error_of<FormatError>([&] { TokenFile(scratch / "train.bin", 9); });
    };
    CHECK(error(3, 1, "{}") == "nothing thrown");
    CHECK(mentions(error(4, 1, "{}"), "meta.json", "4 tokens in train.bin, which has 3",
                   "do not belong together"));
    CHECK(mentions(error(3, 2, "{}"), "2 tokens in validation.bin, which has 1"));
    CHECK(mentions(error(3, 1, "[]"), "another tokenizer.json"));
    CHECK(deepseek::data::fingerprint("foobar") == "85944171f73967e8");  // published test vector of FNV-1a
}

TEST_CASE("token file: a file that changes while it is read is an error with its sizes, not a signal") {
    ScratchDirectory const scratch;
    auto const path = scratch / "t.bin";
    write<std::uint16_t>(path, std::vector<std::uint16_t>(100'000, 1));
    TokenFile const file(path, 4);
    CHECK(all(file).size() == 100'000);
    std::filesystem::resize_file(path, 2000);
    Tokens tokens(10);
    CHECK(mentions(error_of<FileError>([&] { file.read(90'000, tokens); }), "t.bin",
                   "has 2000 bytes, it had 200000 when it was opened"));
    CHECK(mentions(error_of<FileError>([&] { file.read(0, tokens); }), "it had 200000"));
    write<std::uint16_t>(path, std::vector<std::uint16_t>(100'000, 2));
    std::filesystem::last_write_time(path,
                                     std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
    CHECK(mentions(error_of<FileError>([&] { file.read(0, tokens); }), "was written to since"));
    // Another file of that name is another file.
    TokenFile const old(path, 4);
    deepseek::write_file_atomically(path, "abcd");
    old.read(0, tokens);
    CHECK(tokens == Tokens(10, 2));
}

TEST_CASE("token file: the narrowest width that holds a vocabulary") {
    CHECK(deepseek::data::width_for(257) == TokenWidth::two);
    CHECK(deepseek::data::width_for(65'536) == TokenWidth::two);
    CHECK(deepseek::data::width_for(65'537) == TokenWidth::four);
}

TEST_CASE("token file: the validation tokens under both names") {
    ScratchDirectory const scratch;
    CHECK(mentions(error_of<FileError>([&] { deepseek::data::validation_file(scratch.path()); }), "val.bin"));
    write<std::uint16_t>(scratch / "val.bin", {1});
    CHECK(deepseek::data::validation_file(scratch.path()) == scratch / "val.bin");
    write<std::uint16_t>(scratch / "validation.bin", {1});
    CHECK(deepseek::data::validation_file(scratch.path()) == scratch / "validation.bin");
}
