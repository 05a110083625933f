// SPDX-License-Identifier: MIT
#include <deepseek/core/index.hpp>
#include <deepseek/data/token_files.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/text/load.hpp>

#include "program.hpp"
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <signal.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

// What `prepare` reads, and how it goes on.

using namespace deepseek_tests;
namespace fs = std::filesystem;
using deepseek::read_file;
using deepseek::write_file_atomically;

namespace {

std::string prepare(std::string const& inputs, fs::path const& output, std::string const& more = {}) {
    return "prepare --input " + inputs + " --tokenizer bytes --output " + word(output) + " " + more;
}

nlohmann::json meta(fs::path const& directory) {
    return nlohmann::json::parse(read_file(directory / "meta.json"));
}

std::vector<deepseek::Token> tokens_of(fs::path const& file) {
    deepseek::data::TokenFiles const tokens(file, 257);
    std::vector<deepseek::Token> ids(static_cast<std::size_t>(tokens.size()));
    tokens.read(0, ids);
    return ids;
}

// All documents of a data set of bytes, sorted.
std::vector<std::string> documents(fs::path const& directory) {
    std::vector<std::string> found;
    for (auto const* const file : {"train.bin", "validation.bin"}) {
        std::string document;
        for (auto const id : tokens_of(directory / file)) {
            if (id == 256) {
                found.push_back(document);
                document.clear();
            } else {
                document += static_cast<char>(id);
            }
        }
        CHECK(document.empty());
    }
    std::sort(found.begin(), found.end());
    return found;
}

// Thirty documents as JSON lines.
std::string json_lines(std::string const& field = "text") {
    std::string lines;
    for (int i = 0; i < 30; ++i) {
        lines += nlohmann::json{{"id", i}, {field, "A \"quoted\" line,\nnumber " + std::to_string(i) + " é"}}
                     .dump() +
                 (i % 2 == 0 ? "\n" : "\r\n");
    }
    return lines;
}

// Writes what a shell command makes of a file; false if the command is not there.
bool shell(std::string const& command) { return std::system((command + " 2>/dev/null").c_str()) == 0; }

bool built_without(Outcome const& done) { return done.err.find("was built without") != std::string::npos; }

}  // namespace

TEST_CASE("prepare: of JSON lines the text is taken, and nothing around it") {
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "in.jsonl",
                          json_lines() + "\n" + R"({"text": null})" + "\n" + R"({"text": " "})");
    auto const done = run_program(prepare(word(scratch / "in.jsonl"), scratch / "out"));
    REQUIRE_MESSAGE(done.status == 0, done.err);
    auto const found = documents(scratch / "out");
    REQUIRE(found.size() == 30);
    CHECK(found[0] == "A \"quoted\" line,\nnumber 0 é");
    CHECK(meta(scratch / "out")["dropped"]["missing_texts"] == 1);
    CHECK(meta(scratch / "out")["dropped"]["empty_documents"] == 1);
    CHECK(mentions(done.out, "1 rows whose text is null", "1 documents without text"));
    // Another field; and, where that is wanted, the lines as text.
    write_file_atomically(scratch / "in.txt", json_lines("body"));
    REQUIRE(run_program(prepare(word(scratch / "in.txt"), scratch / "out",
                                "--force --format jsonl --text-field body"))
                .status == 0);
    CHECK(documents(scratch / "out") == found);
    REQUIRE(
        run_program(prepare(word(scratch / "in.jsonl"), scratch / "out", "--force --format text")).status ==
        0);
    CHECK(documents(scratch / "out").size() == 2);
}

TEST_CASE("prepare: a bad JSON line is named with its number") {
    ScratchDirectory const scratch;
    auto const complaint = [&](std::string const& line) {
        write_file_atomically(scratch / "in.jsonl", json_lines() + "\n" + line + "\n" + json_lines());
        auto const done = run_program(prepare(word(scratch / "in.jsonl"), scratch / "out"));
        CHECK(done.status == 1);
        CHECK_FALSE(fs::exists(scratch / "out"));
        CHECK(std::distance(fs::directory_iterator(scratch.path()), {}) == 1);
        return done.err;
    };
    CHECK(mentions(complaint(R"({"text": "cut)"), "in.jsonl: line 32", "JSON"));
    CHECK(mentions(complaint("[1]"), "line 32: is array, expected an object"));
    CHECK(mentions(complaint(R"({"content": "x"})"), "line 32: has no 'text'", "--text-field"));
    CHECK(mentions(complaint(R"({"text": 7})"), "line 32: \"text\" is number"));
    CHECK(mentions(complaint("{\"text\": \"\xC3(\"}"), "line 32"));
    CHECK(mentions(complaint("{\"text\": " + std::string(100'000, '[')), "line 32"));
}

TEST_CASE("prepare: directories and patterns stand for the files of text in them") {
    ScratchDirectory const scratch;
    fs::create_directories(scratch / "in/deep");
    fs::create_directories(scratch / "in/.cache");
    write_file_atomically(scratch / "in/b.txt", "document b");
    write_file_atomically(scratch / "in/deep/a.jsonl", R"({"text": "document a"})");
    write_file_atomically(scratch / "in/picture.png", "\x89PNG");
    write_file_atomically(scratch / "in/.cache/c.txt", "hidden");
    write_file_atomically(scratch / "in/.d.txt", "hidden");
    auto const files = [&](std::string const& inputs) {
        REQUIRE(run_program(prepare(inputs, scratch / "out", "--force --validation 0.3")).status == 0);
        std::string names;
        auto const all = meta(scratch / "out");
        for (auto const& input : all["inputs"]) {
            names += fs::path(input["file"].get<std::string>()).filename().native() + " ";
        }
        return names;
    };
    CHECK(files(word(scratch / "in")) == "b.txt a.jsonl ");
    CHECK(files(word(scratch / "in/*.txt")) == "b.txt ");
    CHECK(files(word(scratch / "in/deep") + " " + word(scratch / "in/[ab].*")) == "a.jsonl b.txt ");
}

TEST_CASE(
    "prepare: gzip and zstd are unpacked, and refused where they are damaged or go on as something else") {
    ScratchDirectory const scratch;
    std::string text;
    for (int i = 0; i < 30; ++i) {
        text += "Story " + std::to_string(i) + std::string(20'000, 'x') + "<|endoftext|>";
    }
    write_file_atomically(scratch / "in.txt", text);
    REQUIRE(run_program(prepare(word(scratch / "in.txt"), scratch / "plain")).status == 0);
    for (std::string const tool : {"gzip", "zstd"}) {
        CAPTURE(tool);
        auto const packed = scratch / ("in.txt." + tool);
        if (!shell(tool + " -c " + word(scratch / "in.txt") + " >" + word(packed))) {
            skip("no " + tool);
            continue;
        }
        auto const done = run_program(prepare(word(packed), scratch / tool));
        if (built_without(done)) {
            CHECK(mentions(done.err, packed.native(), "install"));
            skip("built without " + tool);
            continue;
        }
        REQUIRE_MESSAGE(done.status == 0, done.err);
        CHECK(read_file(scratch / tool / "train.bin") == read_file(scratch / "plain/train.bin"));
        auto const bytes = read_file(packed);
        auto const complaint = [&](std::string const& damaged) {
            write_file_atomically(packed, damaged);
            auto const refused = run_program(prepare(word(packed), scratch / "bad"));
            CHECK(refused.status == 1);
            CHECK_FALSE(fs::exists(scratch / "bad"));
            return refused.err;
        };
        CHECK(mentions(complaint(bytes.substr(0, bytes.size() / 2)), packed.native(), "end early"));
        CHECK(mentions(complaint(bytes.substr(0, bytes.size() - 1)), "end early"));
        auto flipped = bytes;
        flipped[bytes.size() / 2] = static_cast<char>(flipped[bytes.size() / 2] ^ 0x55);
        CHECK(mentions(complaint(flipped), packed.native()));
        CHECK(mentions(complaint(bytes + "more"), packed.native()));
        // Packed twice over, one behind the other, is one text.
        write_file_atomically(packed, bytes + bytes);
        REQUIRE(run_program(prepare(word(packed), scratch / "twice", "--force")).status == 0);
        CHECK(documents(scratch / "twice").size() == 60);
    }
}

TEST_CASE("prepare: white space, short documents, chunks and the number of documents, all accounted for") {
    ScratchDirectory const scratch;
    std::string lines;
    std::size_t bytes = 0;
    for (int i = 0; i < 100; ++i) {
        auto const text =
            "\xC2\xA0 word\xE3\x80\x80\n\tof  " + std::string(static_cast<std::size_t>(i), 'x') + "\u2028";
        bytes += text.size();
        lines += nlohmann::json{{"text", text}}.dump() + "\n";
    }
    write_file_atomically(scratch / "in.jsonl", lines);
    REQUIRE(run_program(
                prepare(word(scratch / "in.jsonl"), scratch / "out", "--whitespace collapse --min-bytes 20"))
                .status == 0);
    auto const found = documents(scratch / "out");
    REQUIRE(found.size() == 88);
    CHECK(std::find(found.begin(), found.end(), "word of " + std::string(12, 'x')) != found.end());
    auto const sum = [](nlohmann::json const& all) {
        std::size_t total = 0;
        for (auto const* const part : {"train", "validation"}) {
            total += all[part]["bytes"].get<std::size_t>();
        }
        for (auto const* const name : {"short_bytes", "whitespace_bytes", "rest_bytes", "empty_bytes"}) {
            total += all["dropped"][name].get<std::size_t>();
        }
        return total;
    };
    CHECK(meta(scratch / "out")["dropped"]["short_documents"] == 12);
    CHECK(sum(meta(scratch / "out")) == bytes);
    // Chunks of 40 bytes: of 8 + i bytes, none, one or two.
    REQUIRE(run_program(prepare(word(scratch / "in.jsonl"), scratch / "chunks",
                                "--whitespace collapse --chunk 40 --no-end-of-text"))
                .status == 0);
    auto const chunks = meta(scratch / "chunks");
    CHECK(chunks["train"]["tokens"].get<int>() + chunks["validation"]["tokens"].get<int>() ==
          40 * (40 + 2 * 28));
    CHECK(chunks["dropped"]["chunkless_documents"] == 32);
    CHECK(chunks["end_of_text"].is_null());
    CHECK(sum(chunks) == bytes);
    // The first ten.
    REQUIRE(
        run_program(prepare(word(scratch / "in.jsonl"), scratch / "ten", "--documents 10 --validation 0.2"))
            .status == 0);
    CHECK(documents(scratch / "ten").size() == 10);
}

TEST_CASE("prepare: a recipe says what to download, and otherwise sets what is not said") {
    ScratchDirectory const scratch;
    auto const said = run_program("prepare fineweb-edu");
    CHECK(said.status == 0);
    CHECK(mentions(said.out, "hf download HuggingFaceFW/fineweb-edu", "gpt2/vocab.json",
                   "prepare fineweb-edu --input fineweb-edu --tokenizer gpt2",
                   "train --model from-scratch-100m"));
    CHECK(mentions(run_program("prepare tinystories").out, "TinyStories-train.txt"));
    auto const wrong = run_program("prepare tinystoris");
    CHECK(wrong.status == 2);
    CHECK(mentions(wrong.err, "tinystoris", "fineweb-edu, tinystories"));
    std::string lines;
    for (int i = 0; i < 60; ++i) {
        lines += nlohmann::json{{"text", std::string(3000, static_cast<char>('a' + i % 26)) + " \n " +
                                             std::to_string(i)}}
                     .dump() +
                 "\n";
    }
    write_file_atomically(scratch / "in.jsonl", lines);
    auto const done = run_program("prepare fineweb-edu --input " + word(scratch / "in.jsonl") +
                                  " --tokenizer bytes --validation 0.25 --output " + word(scratch / "out"));
    REQUIRE_MESSAGE(done.status == 0, done.err);
    auto const all = meta(scratch / "out");
    CHECK(all["chunk"] == 1024);
    CHECK(all["whitespace"] == "collapse");
    CHECK(all["split"]["seed"] == 42);
    CHECK(all["split"]["fraction"] == 0.25);
    CHECK(all["train"]["tokens"].get<int>() + all["validation"]["tokens"].get<int>() == 60 * 2048);
    CHECK(fs::file_size(scratch / "out/train.bin") % 2048 == 0);
}

TEST_CASE("prepare: a run that a signal ended goes on where it was, to the same bytes") {
    ScratchDirectory const scratch;
    std::string text;
    for (int i = 0; i < 60'000; ++i) {
        text += "Story " + std::to_string(i) + " has a beginning, a middle and an end, and it is soon told." +
                std::string(static_cast<std::size_t>(i % 700), 'x') + "<|endoftext|>";
    }
    fs::create_directory(scratch / "in");
    write_file_atomically(scratch / "in/a.txt", std::string_view(text).substr(0, text.size() / 3));
    write_file_atomically(scratch / "in/b.txt", std::string_view(text).substr(text.size() / 3));
    auto const command = [&](fs::path const& out) { return prepare(word(scratch / "in"), out, "--jobs 1"); };
    REQUIRE(run_program(command(scratch / "whole")).status == 0);
    int interrupted = 0;
    for (int attempt = 0; attempt < 200; ++attempt) {
        Process process(command(scratch / "out"));
        std::this_thread::sleep_for(std::chrono::milliseconds(attempt < 30 ? 20 + 10 * attempt : 10'000));
        process.signal(SIGTERM);
        auto const done = process.wait();
        if (done.status == 0) {
            break;
        }
        CHECK_FALSE(fs::exists(scratch / "out"));
        if (fs::exists(scratch / "out.unfinished/state.json")) {
            if (++interrupted == 1) {  // nothing else takes its place unasked
                auto const other = run_program(command(scratch / "out") + " --seed 7");
                CHECK(other.status == 1);
                CHECK(mentions(other.err, "out.unfinished: holds unfinished work", "--force"));
            }
            CHECK(mentions(done.err, "interrupted; what was done before is kept in", "goes on from there"));
        }
    }
    CHECK(interrupted > 0);
    for (auto const* const file : {"train.bin", "validation.bin", "tokenizer.json", "meta.json"}) {
        CHECK(read_file(scratch / "out" / file) == read_file(scratch / "whole" / file));
    }
    CHECK_FALSE(fs::exists(scratch / "out.unfinished"));
}

TEST_CASE("prepare: Parquet files of three writers give their rows, and damaged ones are refused by name") {
    auto const data = test_data("parquet-text");
    if (!data) {
        return;
    }
    ScratchDirectory const scratch;
    std::vector<std::string> rows;
    std::istringstream lines(read_file(*data / "generated/rows.jsonl"));
    for (std::string line; std::getline(lines, line);) {
        rows.push_back(nlohmann::json::parse(line)["text"]);
    }
    REQUIRE(rows.size() == 600);
    for (auto const& entry : nlohmann::json::parse(read_file(*data / "generated/manifest.json"))) {
        auto const file = *data / "generated" / entry["file"].get<std::string>();
        CAPTURE(file);
        auto const done = run_program(prepare(word(file), scratch / "out", "--force"));
        if (built_without(done)) {
            CHECK(mentions(done.err, file.native(), "DEEPSEEK_ARROW"));
            return skip("built without Parquet");
        }
        if (entry["rows"] == 0) {
            CHECK(mentions(done.err, "no text but blanks"));
            continue;
        }
        REQUIRE_MESSAGE(done.status == 0, done.err);
        auto const dropped = meta(scratch / "out")["dropped"];
        CHECK(dropped["missing_texts"] == entry["null_text"]);
        auto expected = rows;
        expected.resize(entry["rows"].get<std::size_t>());
        auto const found = documents(scratch / "out");
        CHECK(found.size() + entry["null_text"].get<std::size_t>() +
                  dropped["empty_documents"].get<std::size_t>() ==
              expected.size());
        CHECK(meta(scratch / "out")["train"]["bytes"].get<int>() +
                  meta(scratch / "out")["validation"]["bytes"].get<int>() ==
              entry["text_bytes"]);
        if (entry["null_text"] == 0 && entry["rows"] == 600) {
            std::sort(expected.begin(), expected.end());
            CHECK(found == expected);
        }
    }
    auto const good = *data / "generated/text_only_duckdb_gzip.parquet";
    auto const wrong = run_program(prepare(word(good), scratch / "out", "--force --text-field body"));
    CHECK(mentions(wrong.err, good.native(), "no column 'body'", "chooses one of: text"));
    for (auto const& entry : nlohmann::json::parse(read_file(*data / "malformed/bad_cases.json"))) {
        auto const file = *data / "malformed" / entry["file"].get<std::string>();
        CAPTURE(file);
        auto const done = run_program(prepare(word(file), scratch / "bad", "--force --format parquet"));
        if (entry["expect"] == "reject" || entry["expect"] == "reject_or_error_on_read") {
            CHECK(done.status == 1);
        }
        CHECK((done.status == 0 || (done.status == 1 && mentions(done.err, file.native()))));
        CHECK(fs::exists(scratch / "bad") == (done.status == 0));
        fs::remove_all(scratch / "bad");
    }
}
