// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/data/batches.hpp>
#include <deepseek/data/matching_files.hpp>
#include <deepseek/data/token_file.hpp>
#include <deepseek/data/token_files.hpp>
#include <deepseek/data/token_meta.hpp>
#include <deepseek/format/file.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
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

TEST_CASE("token file: the tokens of a directory under the names that others give them") {
    ScratchDirectory const scratch;
    using Paths = std::vector<std::filesystem::path>;
    using deepseek::data::training_files;
    using deepseek::data::validation_files;
    CHECK(mentions(error_of<FileError>([&] { validation_files(scratch.path()); }), "val.bin"));
    CHECK(mentions(error_of<FileError>([&] { training_files(scratch.path()); }), "train.bin"));
    for (auto const* const name : {"f_val_000000.bin", "f_train_000002.bin", "f_train_000001.bin"}) {
        write<std::uint16_t>(scratch / name, {1});
    }
    CHECK(validation_files(scratch.path()) == Paths{scratch / "f_val_000000.bin"});
    CHECK(training_files(scratch.path()) ==
          Paths{scratch / "f_train_000001.bin", scratch / "f_train_000002.bin"});
    write<std::uint16_t>(scratch / "val.bin", {1});
    write<std::uint16_t>(scratch / "train.bin", {1});
    CHECK(validation_files(scratch.path()) == Paths{scratch / "val.bin"});
    CHECK(training_files(scratch.path()) == Paths{scratch / "train.bin"});
    write<std::uint16_t>(scratch / "validation.bin", {1});
    CHECK(validation_files(scratch.path()) == Paths{scratch / "validation.bin"});
    CHECK(deepseek::data::existing_files(scratch / "f_*_00000[01].bin").size() == 2);
    CHECK(mentions(error_of<FileError>([&] { deepseek::data::existing_files(scratch / "g*"); }),
                   "no file matches"));
    write<std::uint16_t>(scratch / "[a]*.bin", {1});
    CHECK(deepseek::data::matching_files(scratch / "[a]*.bin") == Paths{scratch / "[a]*.bin"});
}

namespace {
// As llm.c writes a shard.
template <class Stored>
void write_shard(std::filesystem::path const& path, std::vector<std::int32_t> const& header,
                 std::vector<Stored> const& ids) {
    auto words = header;
    words.resize(256);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<char const*>(words.data()), 1024)
        .write(reinterpret_cast<char const*>(ids.data()),
               static_cast<std::streamsize>(ids.size() * sizeof(Stored)));
}
}  // namespace

TEST_CASE(
    "token file: the shards of llm.c say themselves what they hold, and are refused where that is not so") {
    ScratchDirectory const scratch;
    auto const path = scratch / "s.bin";
    write_shard<std::uint16_t>(path, {20240520, 1, 3}, {50'256, 7, 9});
    TokenFile const shard(path, 50'257);
    CHECK(all(shard) == Tokens{50'256, 7, 9});
    Tokens last(1);
    shard.read(2, last);
    CHECK(last == Tokens{9});
    CHECK(mentions(error_of<FormatError>([&] { all(TokenFile(path, 100)); }), "token 0 is 50256"));
    CHECK(mentions(error_of<FormatError>([&] { TokenFile(path, 50'257, TokenWidth::four); }),
                   "header says uint16"));
    write_shard<std::uint32_t>(path, {20240801, 7, 2}, {128'000, 1});
    CHECK(all(TokenFile(path, 128'256)) == Tokens{128'000, 1});
    auto const refusal = [&](std::vector<std::int32_t> const& header) {
        write_shard<std::uint16_t>(path, header, {1, 2, 3});
        return error_of<FormatError>([&] { TokenFile(path, 50'257); });
    };
    CHECK(
        mentions(refusal({20240520, 1, 4}), "s.bin", "4 uint16 tokens, which take 1032 bytes, and has 1030"));
    CHECK(mentions(refusal({20240520, 1, -3}), "-3 uint16 tokens"));
    CHECK(mentions(refusal({20240520, 1, std::numeric_limits<std::int32_t>::max()}), "2147483647"));
    CHECK(mentions(refusal({20240520, 2, 3}), "version 2", "expected version 1"));
    CHECK(mentions(refusal({20240801, 7, 3}), "3 uint32 tokens"));
    std::filesystem::resize_file(path, 12);
    CHECK(mentions(error_of<FormatError>([&] { TokenFile(path, 50'257); }), "and has 12"));
}

TEST_CASE("token file: uint32 that nobody announced is not read as uint16") {
    ScratchDirectory const scratch;
    auto const path = scratch / "t.bin";
    write<std::uint32_t>(path, std::vector<std::uint32_t>(100, 7));
    CHECK(mentions(error_of<FormatError>([&] { TokenFile(path, 50'257); }), "t.bin", "must be uint32"));
    CHECK(TokenFile(path, 50'257, TokenWidth::four).size() == 100);
    CHECK(TokenFile(path, 50'257, TokenWidth::two).size() == 200);
    write<std::uint16_t>(path, std::vector<std::uint16_t>(100, 0));
    CHECK(TokenFile(path, 50'257).size() == 100);
}

TEST_CASE("token files: shards are one text, which is shuffled without replacement across their borders") {
    using deepseek::data::TokenFiles;
    ScratchDirectory const scratch;
    std::vector<std::filesystem::path> const paths = {scratch / "a.bin", scratch / "b.bin",
                                                      scratch / "c.bin"};
    write<std::uint16_t>(paths[0], {0, 1, 2, 3, 4});
    write_shard<std::uint16_t>(paths[1], {20240520, 1, 1}, {5});
    write<std::uint16_t>(paths[2], {6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
    TokenFiles const files(paths, 100);
    REQUIRE(files.size() == 17);
    for (index_t begin = 0; begin <= 17; ++begin) {
        Tokens tokens(static_cast<std::size_t>(17 - begin));
        files.read(begin, tokens);
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            CHECK(tokens[i] == static_cast<Token>(begin) + static_cast<Token>(i));
        }
    }
    Tokens one(1);
    CHECK(mentions(error_of<deepseek::Error>([&] { files.read(17, one); }), "a.bin and 2 more",
                   "there are 17"));
    // Seven windows of two tokens an epoch, each once; going on at a counter is having come there.
    deepseek::data::BatchOptions const options{.sequences = 1, .length = 2, .seed = deepseek::Seed{3}};
    deepseek::data::Batches batches(files, options);
    Tokens begins;
    for (int i = 0; i < 14; ++i) {
        auto const batch = batches.next();
        CHECK(batch.tokens[1] == batch.tokens[0] + 1);
        begins.push_back(batch.tokens[0]);
    }
    deepseek::data::Batches resumed(files, options);
    resumed.seek(9);
    CHECK(resumed.next().tokens[0] == begins[9]);
    for (auto const epoch : {0, 7}) {
        Tokens sorted(begins.begin() + epoch, begins.begin() + epoch + 7);
        std::sort(sorted.begin(), sorted.end());
        for (std::size_t i = 1; i < 7; ++i) {
            CHECK(sorted[i] == sorted[i - 1] + 2);
        }
    }
    // A shard of another width than its directory says is refused.
    write_text(scratch / "meta.json", R"({"dtype": "uint32", "vocabulary_size": 50})");
    CHECK(mentions(error_of<FormatError>([&] { TokenFiles(paths, 100); }), "a.bin", "uint32"));
}
