// SPDX-License-Identifier: MIT
// labels: programs slow
#include <deepseek/format/file.hpp>

#include "program.hpp"

#include <filesystem>
#include <initializer_list>
#include <iterator>

using namespace deepseek_tests;
namespace fs = std::filesystem;

TEST_CASE("train, generate: a save that ended while its files moved up is gone on from") {
    ScratchDirectory const directory;
    auto const run = directory / "m";
    REQUIRE(run_program(train_command(run, "--steps 1 --no-best")).status == 0);
    // As a crash leaves it: the new set complete in its place, some of it moved, some old files still there.
    fs::create_directory(run / ".deepseek-commit");
    for (auto const* name :
         {"config.json", "model.safetensors", "tokenizer.json", "optimizer.safetensors", "trainer.json"}) {
        fs::create_hard_link(run / name, run / ".deepseek-commit" / name);
    }
    fs::remove(run / "trainer.json");
    fs::remove(run / "model.safetensors");
    deepseek::write_file_atomically(run / "optimizer.safetensors", "an old one");

    auto const told = run_program("generate --model " + word(run) + " --prompt Once -n 4");
    CHECK_MESSAGE(told.status == 0, told.err);
    auto const done = run_program("train --steps 2 --resume --threads 1 --out " + word(run));
    REQUIRE_MESSAGE(done.status == 0, done.err);
    CHECK(mentions(done.out, "at step 1", "step 2/2"));
    CHECK_FALSE(fs::exists(run / ".deepseek-commit"));
    CHECK(fs::exists(run / "trainer.json"));
    CHECK(std::distance(fs::directory_iterator(directory.path()), {}) == 1);
}

TEST_CASE("prepare, train: a data set that ended while its files moved up is trained on") {
    ScratchDirectory const directory;
    fs::copy(story_data(), directory / "data");
    auto const data = directory / "data";
    fs::create_directory(data / ".deepseek-commit");
    for (auto const* name :
         {"train.bin", "validation.bin", "tokenizer.json", "tokenizer_config.json", "meta.json"}) {
        fs::rename(data / name, data / ".deepseek-commit" / name);
    }
    deepseek::write_file_atomically(data / "train.bin", "an old one");
    auto const done =
        run_program("train --model quickstart --steps 1 --batch-size 1 --seq-len 16 --no-best --data " +
                    word(data) + " --out " + word(directory / "m"));
    CHECK_MESSAGE(done.status == 0, done.err);
    CHECK(fs::exists(directory / "m" / "tokenizer.json"));
}
