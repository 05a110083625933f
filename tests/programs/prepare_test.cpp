// SPDX-License-Identifier: MIT
#include <deepseek/app/prepare/data_set.hpp>
#include <deepseek/app/prepare/document_reader.hpp>
#include <deepseek/app/prepare/split.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/data/token_files.hpp>
#include <deepseek/data/token_meta.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/directory_lock.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/text/load.hpp>

#include "program.hpp"
#include "support/stopping_calls.hpp"
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace deepseek_tests;
namespace fs = std::filesystem;
using deepseek::read_file;
using deepseek::write_file_atomically;
using deepseek::data::TokenFile;
using Documents = std::vector<std::string>;

namespace {

std::string prepare(fs::path const& input, std::string const& tokenizer, fs::path const& output,
                    std::string const& more = {}) {
    return "prepare --input " + word(input) + " --tokenizer " + tokenizer + " --output " + word(output) +
           " " + more;
}

nlohmann::json meta(fs::path const& directory) {
    return nlohmann::json::parse(read_file(directory / "meta.json"));
}

// The documents of a token file, as text.
std::vector<std::string> documents(fs::path const& directory, char const* file) {
    auto const tokenizer = deepseek::text::load_tokenizer(directory);
    TokenFile const tokens(directory / file, tokenizer.vocabulary_size());
    std::vector<deepseek::Token> ids(static_cast<std::size_t>(tokens.size()));
    tokens.read(0, ids);
    std::vector<std::string> found(1);
    for (auto const id : ids) {
        if (id == tokenizer.end_of_text()) {
            found.emplace_back();
        } else {
            found.back() += tokenizer.bytes(id);
        }
    }
    CHECK(found.back().empty());  // every document has its end
    found.pop_back();
    return found;
}

// A file system that cannot swap names.
struct NoSwap : Unsynced {
    static int exchange(char const*, char const*) {
        errno = EINVAL;
        return -1;
    }
};

bool holds_nothing(fs::path const& directory) { return !fs::exists(directory) || fs::is_empty(directory); }

// Forty documents that differ, with the separator of TinyStories between them.
std::string corpus() {
    std::string text;
    for (int i = 0; i < 40; ++i) {
        text += "Story " + std::to_string(i) + " was told.\nIt had an end.\n<|endoftext|>\n";
    }
    return text;
}

}  // namespace

TEST_CASE("prepare: documents come out as they went in, split between two files") {
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "in.txt", corpus());
    for (std::string const tokenizer : {"bytes", "train:300"}) {
        CAPTURE(tokenizer);
        auto const done =
            run_program(prepare(scratch / "in.txt", tokenizer, scratch / "out", "--validation 0.2 --force"));
        REQUIRE_MESSAGE(done.status == 0, done.err);
        auto const train = documents(scratch / "out", "train.bin");
        auto const validation = documents(scratch / "out", "validation.bin");
        CHECK(train.size() + validation.size() == 40);
        CHECK(validation.size() >= 3);
        CHECK(validation.size() <= 16);
        std::map<std::string, int> seen;
        for (auto const& all : {train, validation}) {
            for (auto const& document : all) {
                seen[document] += 1;
            }
        }
        CHECK(seen.size() == 40);
        CHECK(seen.contains("Story 7 was told.\nIt had an end."));
        auto const counts = meta(scratch / "out");
        CHECK(counts["dtype"] == "uint16");
        CHECK(counts["train"]["documents"] == train.size());
        CHECK(counts["train"]["tokens"].get<std::size_t>() * 2 ==
              fs::file_size(scratch / "out" / "train.bin"));
        // Every byte of the input is accounted for.
        auto const bytes = [&](char const* part, char const* name) {
            return counts[part][name].get<std::size_t>();
        };
        CHECK(bytes("train", "bytes") + bytes("validation", "bytes") + bytes("dropped", "separator_bytes") +
                  bytes("dropped", "empty_bytes") ==
              corpus().size());
        CHECK(std::distance(fs::directory_iterator(scratch / "out"), {}) == 5);
    }
}

TEST_CASE("prepare: the same input gives the same bytes for any number of jobs, another seed another split") {
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "in.txt", corpus());
    for (auto const& [name, flags] :
         {std::pair("one", "--jobs 1"), {"three", "--jobs 3"}, {"seed", "--seed 5"}}) {
        REQUIRE(run_program(prepare(scratch / "in.txt", "train:300", scratch / name, flags)).status == 0);
    }
    for (auto const* const file : {"train.bin", "validation.bin", "tokenizer.json", "meta.json"}) {
        CHECK(read_file(scratch / "one" / file) == read_file(scratch / "three" / file));
    }
    CHECK(read_file(scratch / "one" / "validation.bin") != read_file(scratch / "seed" / "validation.bin"));
}

TEST_CASE("prepare: a text without separators is one document whose end is for validation") {
    ScratchDirectory const scratch;
    std::string text;
    for (int i = 0; i < 1000; ++i) {
        text += "é" + std::to_string(i % 10);
    }
    write_file_atomically(scratch / "in.txt", text);
    REQUIRE(run_program(prepare(scratch / "in.txt", "bytes", scratch / "out", "--validation 0.1")).status ==
            0);
    auto const train = documents(scratch / "out", "train.bin");
    auto const validation = documents(scratch / "out", "validation.bin");
    REQUIRE((train.size() == 1 && validation.size() == 1));
    CHECK(train[0] + validation[0] == text);
    CHECK(train[0].size() == 2700);
}

TEST_CASE("prepare: a tokenizer of a large vocabulary gives four bytes a token") {
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "in.txt", "aa bb");
    auto data = deepseek::text::byte_tokenizer().data();
    data.added.push_back({"<far>", 70'000});
    write_file_atomically(scratch / "t.json", to_tokenizer_json(data));
    REQUIRE(run_program(
                prepare(scratch / "in.txt", word(scratch / "t.json"), scratch / "out", "--validation 0.4"))
                .status == 0);
    CHECK(meta(scratch / "out")["dtype"] == "uint32");
    CHECK(meta(scratch / "out")["vocabulary_size"] == 70'001);
    CHECK(fs::file_size(scratch / "out" / "train.bin") == 4 * 4);
    CHECK(documents(scratch / "out", "validation.bin") == std::vector<std::string>{"bb"});
}

TEST_CASE("prepare: another separator, several files, and standard input") {
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "a.txt", "one\n===\ntwo\n===\n\n===\nthree\n");
    write_file_atomically(scratch / "b.txt", "four");
    REQUIRE(run_program("prepare --input " + word(scratch / "a.txt") + " " + word(scratch / "b.txt") +
                        " --tokenizer bytes --separator === --validation 0.3 --output " +
                        word(scratch / "out"))
                .status == 0);
    auto all = documents(scratch / "out", "train.bin");
    auto const validation = documents(scratch / "out", "validation.bin");
    all.insert(all.end(), validation.begin(), validation.end());
    std::sort(all.begin(), all.end());
    CHECK(all == std::vector<std::string>{"four", "one", "three\n", "two"});
    CHECK(meta(scratch / "out")["dropped"]["empty_documents"] == 1);
    CHECK(run_program(prepare("/dev/stdin", "bytes", scratch / "piped"), "some text from a pipe").status ==
          0);
    CHECK(documents(scratch / "piped", "train.bin") == std::vector<std::string>{"some text from a pi"});
}

TEST_CASE("prepare: bad input is named and nothing is written") {
    ScratchDirectory const scratch;
    auto const in = scratch / "in.txt";
    auto const out = scratch / "out";
    auto const failure = [&](std::string const& command, int status = 1) {
        auto const done = run_program(command);
        CHECK(done.status == status);
        CHECK(holds_nothing(out));
        CHECK(done.out.empty());
        return done.err;
    };
    CHECK(mentions(failure(prepare(in, "bytes", out)), in.native(), "No such file"));
    write_file_atomically(in, "");
    CHECK(mentions(failure(prepare(in, "bytes", out)), in.native(), "is empty"));
    write_file_atomically(in, " \n \n");
    CHECK(mentions(failure(prepare(in, "bytes", out)), in.native(), "blanks"));
    write_file_atomically(in, "good text \xC3(");
    CHECK(mentions(failure(prepare(in, "bytes", out)), in.native(), "not UTF-8 at byte 10", "0xc3"));
    write_file_atomically(in, "x");
    CHECK(mentions(failure(prepare(in, "bytes", out)), "too little text"));
    fs::create_directory(scratch / "none");
    CHECK(mentions(failure(prepare(scratch / "none", "bytes", out)), "is a directory without files of text"));
    CHECK(mentions(failure(prepare(scratch / "*.none", "bytes", out)), "no file matches"));
    write_file_atomically(in, corpus());
    CHECK(mentions(failure(prepare(in, word(scratch / "none.json"), out)), "none.json", "No such file"));
    write_file_atomically(scratch / "t.json", "{\"model\": 3}");
    CHECK(mentions(failure(prepare(in, word(scratch / "t.json"), out)), "t.json", "model"));
    auto data = deepseek::text::byte_tokenizer().data();
    data.added.clear();
    data.end_of_text = -1;
    write_file_atomically(scratch / "t.json", to_tokenizer_json(data));
    CHECK(mentions(failure(prepare(in, word(scratch / "t.json"), out)), "t.json", "ends a document"));
    write_file_atomically(scratch / "file", "x");
    CHECK(mentions(failure(prepare(in, "bytes", scratch / "file")), "file", "exists and is not a directory"));
}

TEST_CASE("prepare: bad input leaves what was there") {
    ScratchDirectory const scratch;
    auto const out = scratch / "out";
    write_file_atomically(scratch / "in.txt", corpus());
    write_file_atomically(scratch / "bad.txt", corpus() + "\xFF");
    REQUIRE(run_program(prepare(scratch / "in.txt", "bytes", out)).status == 0);
    std::map<std::string, std::string> before;
    for (auto const& entry : fs::directory_iterator(out)) {
        before[entry.path().filename().native()] = read_file(entry.path());
    }
    for (auto const& input : {scratch / "bad.txt", scratch / "none.txt"}) {
        CHECK(run_program(prepare(input, "train:300", out)).status == 1);
        CHECK(std::distance(fs::directory_iterator(out), {}) == std::ssize(before));
        for (auto const& [name, contents] : before) {
            CHECK_MESSAGE(read_file(out / name) == contents, name);
        }
    }
}

TEST_CASE("prepare: a data set is replaced only on request, and nothing else in the directory is") {
    ScratchDirectory const scratch;
    auto const out = scratch / "out";
    write_file_atomically(scratch / "in.txt", corpus());
    fs::create_directory(out);
    write_file_atomically(out / "notes.txt", "mine");
    REQUIRE(run_program(prepare(scratch / "in.txt", "bytes", out)).status == 0);
    auto const before = read_file(out / "meta.json");
    auto const refused = run_program(prepare(scratch / "in.txt", "train:300", out));
    CHECK(refused.status == 1);
    CHECK(mentions(refused.err, "out/train.bin': exists; --force replaces"));
    CHECK(read_file(out / "meta.json") == before);
    CHECK(run_program(prepare(scratch / "in.txt", "train:300", out, "--force")).status == 0);
    CHECK(meta(out)["tokenizer"] == "train:300");
    CHECK(read_file(out / "notes.txt") == "mine");
    CHECK(std::distance(fs::directory_iterator(out), {}) == 6);
    // A tokenizer.json is somebody's, too.
    fs::create_directory(scratch / "model");
    write_file_atomically(scratch / "model" / "tokenizer.json", "theirs");
    CHECK(run_program(prepare(scratch / "in.txt", "bytes", scratch / "model")).status == 1);
    CHECK(read_file(scratch / "model" / "tokenizer.json") == "theirs");
}

TEST_CASE("prepare: of two that write one data set the second is told so") {
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "in.txt", corpus());
    deepseek::format::DirectoryLock const lock(scratch / "out");
    auto const done = run_program(prepare(scratch / "in.txt", "bytes", scratch / "out"));
    CHECK(done.status == 1);
    CHECK(mentions(done.err, "is being written by process"));
    CHECK(holds_nothing(scratch / "out"));
}

TEST_CASE("prepare: names of files need not be UTF-8") {
    ScratchDirectory const scratch;
    auto const in = scratch / "n\xE9 \xFF.txt";
    write_file_atomically(in, corpus());
    auto const done = run_program(prepare(in, "bytes", scratch / "\xFFout"));
    CHECK_MESSAGE(done.status == 0, done.err);
    CHECK(mentions(meta(scratch / "\xFFout")["inputs"][0]["file"].get<std::string>(), "n\xEF\xBF\xBD "));
}

TEST_CASE_TEMPLATE("data set: a process that ends at any system call leaves the old set or the new one", Base,
                   Unsynced, NoSwap) {
    using Calls = Stopping<Base>;
    // Every file of a set is as long as its name tells.
    auto const write = []<class C>(C, fs::path const& path, std::size_t tokens) {
        deepseek::app::BasicDataSet<C> set(path, true);
        std::string const tokenizer = "tokenizer of " + std::to_string(tokens);
        auto const counts = nlohmann::json{{"tokens", tokens}};
        nlohmann::json const meta = {{"dtype", "uint16"},
                                     {"vocabulary_size", 3},
                                     {"tokenizer_fingerprint", deepseek::data::fingerprint(tokenizer)},
                                     {"train", counts},
                                     {"validation", counts}};
        std::map<std::string, std::string> const contents = {
            {"train.bin", std::string(2 * tokens, '\0')},
            {"validation.bin", std::string(2 * tokens, '\0')},
            {"tokenizer.json", tokenizer},
            {"meta.json", meta.dump()}};
        for (auto const& [name, text] : contents) {
            auto file = set.file(name);
            file.write(text);
            file.commit();
        }
        set.commit();
    };
    for (bool const shared : {false, true}) {
        CAPTURE(shared);
        bool killed = true;
        bool seen_old = false;
        bool seen_new = false;
        for (int n = 1; killed; ++n) {
            CAPTURE(n);
            ScratchDirectory const scratch;
            auto const path = scratch / "data";
            write(Unsynced{}, path, 5);
            if (shared) {
                write_file_atomically(path / "notes.txt", "mine");
            }
            killed = killed_at<Calls>(n, [&] { write(Calls{}, path, 7); });
            // As `train` opens it: any mixture would be an error.
            TokenFile const train(path / "train.bin", 3);
            TokenFile const validation(deepseek::data::validation_files(path).front(), 3);
            CHECK(train.size() == validation.size());
            seen_old = seen_old || train.size() == 5;
            seen_new = seen_new || (killed && train.size() == 7);
            write(Unsynced{}, path, 9);
            CHECK(TokenFile(path / "train.bin", 3).size() == 9);
            CHECK(std::distance(fs::directory_iterator(path), {}) == (shared ? 5 : 4));
            CHECK(std::distance(fs::directory_iterator(scratch.path()), {}) == 1);
        }
        CHECK(seen_old);
        CHECK(seen_new);
    }
}

TEST_CASE("prepare: a report that a full disk did not take is an error with its cause") {
    if (!fs::exists("/dev/full")) {
        return skip("no /dev/full");
    }
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "in.txt", corpus());
    auto const done = run_program(prepare(scratch / "in.txt", "bytes", scratch / "out", ">/dev/full"));
    CHECK(done.status == 1);
    CHECK(mentions(done.err, "cannot write to stdout: No space left on device"));
    CHECK(fs::exists(scratch / "out" / "train.bin"));  // the work itself was done
}

TEST_CASE("prepare: impossible flags end with status 2 and the nearest flag") {
    ScratchDirectory const scratch;
    auto const in = scratch / "in.txt";
    write_file_atomically(in, corpus());
    auto const refused = [&](std::string const& command) {
        auto const done = run_program(command);
        CHECK(done.status == 2);
        CHECK(holds_nothing(scratch / "out"));
        return done.err;
    };
    CHECK(mentions(refused(prepare(in, "bytes", scratch / "out", "--validaton 0.1")), "--validaton",
                   "--validation"));
    CHECK(mentions(refused("prepare --inptu x"), "--inptu", "did you mean --input?"));
    CHECK(mentions(refused("prepare"), "required"));
    CHECK(mentions(refused(prepare(in, "train:abc", scratch / "out")), "train:abc"));
    CHECK(mentions(refused(prepare(in, "train:256", scratch / "out")), "above 256"));
    CHECK(mentions(refused(prepare(in, "bytes", scratch / "out", "--validation 1")), "--validation"));
    CHECK(
        mentions(refused(prepare(in, "bytes", scratch / "out", "--validation nan")), "--validation", "nan"));
    CHECK(mentions(refused(prepare(in, "bytes", scratch / "out", "--jobs 0")), "--jobs"));
    CHECK(mentions(refused(prepare(in, "bytes", scratch / "out", "--seed -1")), "--seed", "-1"));
    CHECK(mentions(refused("prepare --tokenizer bytes --output '' --input " + word(in)), "--output",
                   "is empty"));
    auto const help = run_program("prepare --help");
    CHECK(help.status == 0);
    CHECK(mentions(help.out, "Text:", "Tokens:", "Output:", "--separator", "<|endoftext|>"));
    // '-' and '_' are the same in flags, and the last of two counts.
    CHECK(run_program(prepare(in, "train:260", scratch / "out", "--jobs=1 --tokenizer bytes")).status == 0);
    CHECK(meta(scratch / "out")["tokenizer"] == "bytes");
}

TEST_CASE("prepare: a full disk keeps what was there") {
    ScratchDirectory const scratch;
    write_file_atomically(scratch / "in.txt", std::string(100'000, 'x') + " y");
    write_file_atomically(scratch / "small.txt", "a small text");
    auto const out = scratch / "out";
    REQUIRE(run_program(prepare(scratch / "small.txt", "bytes", out)).status == 0);
    auto const before = read_file(out / "train.bin");
    Outcome done;
    {
        FileSizeLimit const limit(50'000);
        done = run_program(prepare(scratch / "in.txt", "bytes", out, "--force"));
    }
    CHECK(done.status == 1);
    CHECK(mentions(done.err, "train.bin", "File too large"));
    CHECK(read_file(out / "train.bin") == before);
    CHECK(std::distance(fs::directory_iterator(out), {}) == 5);  // no temporary file is left
}

TEST_CASE("documents: line breaks beside a separator belong to it") {
    auto const found = [](std::string const& text, std::string const& separator) {
        deepseek::app::InputFile const file{"text", text};
        deepseek::app::detail::TextReader reader(file, separator);
        Documents documents;
        deepseek::app::Dropped dropped;
        auto bytes = std::size_t{0};
        for (std::string document; reader.next(document, dropped); document.clear()) {
            bytes += document.size();
            documents.push_back(document);
        }
        CHECK(bytes + static_cast<std::size_t>(dropped.separator_bytes) == text.size());
        return documents;
    };
    CHECK(found("a\n--\nb", "--") == Documents{"a", "b"});
    CHECK(found("a\r\n--\r\nb\r\n", "--") == Documents{"a", "b\r\n"});
    CHECK(found("a--b", "--") == Documents{"a", "b"});
    CHECK(found("\n\na\n\n--\n\nb", "--") == Documents{"\n\na\n", "\nb"});
    CHECK(found("----a--\n \n--", "--") == Documents{"", "a", " "});
    CHECK(found("--", "--").empty());
    CHECK(found("a--b\n", "") == Documents{"a--b\n"});
    // Separators across the pieces in which a file is read.
    for (std::size_t const before : {262'140U, 262'141U, 262'142U, 262'143U, 262'144U, 600'000U}) {
        std::string const first(before, 'x');
        CHECK(found(first + "\r\n--\r\nb--" + first, "--") == Documents{first, "b", first});
    }
}

TEST_CASE("documents: the split holds its share and puts equal documents together") {
    auto const split_of = [](int documents) {
        deepseek::app::DocumentSplit split(0.1, deepseek::Seed{1});
        for (int i = 0; i < documents; ++i) {
            split.look_at("document " + std::to_string(i % 4000));
        }
        CHECK_FALSE(split.within_documents());
        std::vector<bool> validates;
        for (int i = 0; i < 4000; ++i) {
            validates.push_back(split.validates("document " + std::to_string(i)));
        }
        return validates;
    };
    auto const all = split_of(5000);
    // Of 4000 different documents a tenth, give or take five standard deviations of 19.
    CHECK(std::count(all.begin(), all.end(), true) == doctest::Approx(400).epsilon(0.25));
    CHECK(split_of(200) == all);  // documents added later move none of the others
}

TEST_CASE("documents: both parts have text, however few or alike the documents") {
    for (std::size_t count = 1; count <= 40; ++count) {
        deepseek::app::DocumentSplit split(0.05, deepseek::Seed{count});
        std::size_t validation = 0;
        for (std::size_t i = 0; i < count; ++i) {
            split.look_at("text of document " + std::to_string(i));
        }
        for (std::size_t i = 0; i < count; ++i) {
            validation += split.validates("text of document " + std::to_string(i)) ? 1 : 0;
        }
        CHECK(split.within_documents() == (count < 20));
        CHECK((count < 20 || (validation > 0 && validation < count)));
    }
    deepseek::app::DocumentSplit alike(0.1, deepseek::Seed{1});
    for (int i = 0; i < 50; ++i) {
        alike.look_at("the same text every time");
    }
    CHECK(alike.within_documents());
    CHECK_FALSE(alike.settled());
    // 96 % of 23 bytes end inside the last character.
    deepseek::app::DocumentSplit const split(0.04, deepseek::Seed{1});
    CHECK(split.cut("the same text every t\xC3\xA9").first == "the same text every t");
    CHECK_THROWS_AS(deepseek::app::DocumentSplit(0, deepseek::Seed{1}), deepseek::Error);
}
