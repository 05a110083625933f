// SPDX-License-Identifier: MIT
// labels: programs slow
#include "program.hpp"
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <filesystem>
#include <string>

using namespace deepseek_tests;
namespace fs = std::filesystem;

// What can go wrong around a run must not take the run with it, nor what was there before.

namespace {

deepseek::index_t step_of(fs::path const& run) {
    return nlohmann::json::parse(deepseek::read_file(run / "trainer.json"))["step"];
}

// The data, with ids that no model has from the middle on.
fs::path spoiled_data(ScratchDirectory const& directory) {
    fs::copy(story_data(), directory / "data");
    auto text = deepseek::read_file(directory / "data/train.bin");
    // Every 37th window of 16 tokens: a run meets one of them after some steps, whatever its order.
    for (std::size_t at = 36 * 32; at + 2 <= text.size(); at += 37 * 32) {
        text[at] = text[at + 1] = '\xFF';
    }
    deepseek::write_file_atomically(directory / "data/train.bin", text);
    return directory / "data";
}

}  // namespace

TEST_CASE("train: a closed terminal saves the run, a closed pipe does not end it") {
    ScratchDirectory const directory;
    Process run(train_command(directory / "hangup", "--steps 100000"));
    REQUIRE(run.wait_for("step 2/"));
    run.signal(SIGHUP);
    auto const hangup = run.wait();
    CHECK_MESSAGE(hangup.status == 0, hangup.err);
    CHECK(mentions(hangup.out, "interrupted after step", "--resume"));
    CHECK(step_of(directory / "hangup") >= 2);

    auto const piped = run_program(train_command(directory / "pipe", "--steps 5 | head -n 1"));
    CHECK(mentions(piped.err, "stdout: cannot write: Broken pipe"));
    CHECK(step_of(directory / "pipe") == 5);
}

TEST_CASE("train: under nohup a closed terminal changes nothing") {
    ScratchDirectory const directory;
    Process run(train_command(directory / "m", "--steps 40"), {}, "trap '' HUP;");
    REQUIRE(run.wait_for("step 2/"));
    run.signal(SIGHUP);
    auto const done = run.wait();
    CHECK_MESSAGE(done.status == 0, done.err);
    CHECK(step_of(directory / "m") == 40);
}

TEST_CASE("train: a token that cannot be read ends the run after saving it, and says how to go on") {
    ScratchDirectory const directory;
    auto const data = spoiled_data(directory);
    auto const run = directory / "m";
    auto const done = run_program(
        "train --model quickstart --batch-size 2 --seq-len 16 --eval-batches 1 --steps 500 "
        "--threads 1 --data " +
        word(data) + " --out " + word(run));
    CHECK(done.status == 1);
    CHECK(mentions(done.err, "train.bin", "65535", "is saved as it was after step", "--resume"));
    REQUIRE(fs::exists(run / "trainer.json"));
    auto const saved = step_of(run);
    CHECK(saved > 0);

    fs::copy(story_data() / "train.bin", data / "train.bin", fs::copy_options::overwrite_existing);
    auto const more =
        run_program("train --resume --steps " + std::to_string(saved + 2) + " --out " + word(run));
    CHECK_MESSAGE(more.status == 0, more.err);
    CHECK(step_of(run) == saved + 2);
}

TEST_CASE("train: weights that lost their meaning never replace a checkpoint, and the exit code says so") {
    ScratchDirectory const directory;
    auto const run = directory / "m";
    REQUIRE(run_program(train_command(run, "--steps 1")).status == 0);
    auto const before = deepseek::read_file(run / "model.safetensors");
    auto const resume =
        "train --resume --warmup 0 --schedule const --lr 1e38 --out " + word(run) + " --steps ";

    auto const one = run_program(resume + "2 --save-every 1");
    CHECK(one.status == 1);
    CHECK(mentions(one.err, "not saved", "after step 2", "holds it as it was after step 1"));
    CHECK(deepseek::read_file(run / "model.safetensors") == before);

    auto const many = run_program(resume + "30 --save-every 1");
    CHECK(many.status == 1);
    CHECK(deepseek::read_file(run / "model.safetensors") == before);

    auto const fresh = run_program(train_command(directory / "n", "--warmup 0 --lr 1e38 --steps 3"));
    CHECK(fresh.status == 1);
    CHECK(mentions(fresh.err, "not saved", "nothing was saved before"));
    CHECK_FALSE(fs::exists(directory / "n"));
    CHECK_FALSE(fs::exists(directory / "n-best"));
}

TEST_CASE("train: a second run on the same directory is told who holds it") {
    ScratchDirectory const directory;
    Process first(train_command(directory / "m", "--steps 100000"));
    REQUIRE(first.wait_for("step 1/"));
    auto const second = run_program(train_command(directory / "m", "--steps 1"));
    CHECK(second.status == 1);
    CHECK(mentions(second.err, "is being written by process ", " since "));
    first.signal(SIGINT);
    CHECK(first.wait().status == 0);
    CHECK(step_of(directory / "m") >= 1);
}

TEST_CASE("train: a run does not go on with data of another tokenizer") {
    ScratchDirectory const directory;
    auto const run = directory / "m";
    REQUIRE(run_program(train_command(run, "--steps 1")).status == 0);
    auto const tokenizer = deepseek::read_file(run / "tokenizer.json");

    fs::copy(story_data(), directory / "other");
    auto meta = nlohmann::json::parse(deepseek::read_file(directory / "other/meta.json"));
    meta.erase("tokenizer_fingerprint");  // data of another program
    deepseek::write_file_atomically(directory / "other/meta.json", meta.dump());
    auto json = nlohmann::json::parse(tokenizer);
    std::swap(json["model"]["vocab"]["!"], json["model"]["vocab"]["?"]);  // as many tokens, other ids
    deepseek::write_file_atomically(directory / "other/tokenizer.json", json.dump());
    auto const refused =
        run_program("train --resume --steps 2 --data " + word(directory / "other") + " --out " + word(run));
    CHECK(refused.status == 1);
    CHECK(mentions(refused.err, (directory / "other/tokenizer.json").native(), "another tokenizer"));
    CHECK(deepseek::read_file(run / "tokenizer.json") == tokenizer);

    json = nlohmann::json::parse(tokenizer);  // the same one, written differently
    deepseek::write_file_atomically(directory / "other/tokenizer.json", json.dump(2));
    CHECK(run_program("train --resume --steps 2 --data " + word(directory / "other") + " --out " + word(run))
              .status == 0);
}

TEST_CASE("train: saves by the clock, and keeps the model of the lowest validation loss beside the run") {
    ScratchDirectory const directory;
    auto const done =
        run_program(train_command(directory / "m", "--steps 4 --save-minutes 1e-9 --eval-every 2"));
    REQUIRE_MESSAGE(done.status == 0, done.err);
    CHECK(mentions(done.out, "save 1/4", "save 2/4", "save 3/4", "save 4/4"));
    CHECK(fs::exists(directory / "m-best/model.safetensors"));
    CHECK_FALSE(fs::exists(directory / "m-best/trainer.json"));
    CHECK(run_program("generate -n 2 -p One --model " + word(directory / "m-best")).status == 0);
    CHECK(mentions(run_program("train --help").out, "--save-minutes", "minutes between checkpoints"));

    // A best model that is somebody else's is not replaced.
    auto const other = run_program("train --model quickstart --data " + word(story_data()) +
                                   " --batch-size 2 --seq-len 16 --steps 1 --out " + word(directory / "n"));
    REQUIRE(other.status == 0);
    fs::rename(directory / "m-best", directory / "k-best");
    auto const refused = run_program(train_command(directory / "k", "--steps 1"));
    CHECK(refused.status == 1);
    CHECK(mentions(refused.err, "k-best", "already holds a model", "--no-best"));
    CHECK(run_program(train_command(directory / "k", "--steps 1 --no-best")).status == 0);
}

TEST_CASE("train: what cannot be an output directory is refused before the first step") {
    ScratchDirectory const directory;
    deepseek::write_file_atomically(directory / "file", "mine");
    fs::create_symlink(directory / "nowhere/at/all", directory / "dangling");
    for (auto const& out : {(directory / "file").native(), (directory / "dangling").native(),
                            std::string("/"), (directory / std::string(250, 'x')).native()}) {
        auto const done = run_program(train_command(out, "--steps 1"));
        CHECK_MESSAGE(done.status == 1, out);
        CHECK_MESSAGE(done.out.find("step 1/") == std::string::npos, out);
        CHECK_FALSE(done.err.empty());
    }
    CHECK(deepseek::read_file(directory / "file") == "mine");
}

TEST_CASE("train: the working directory can be the output") {
    ScratchDirectory const directory;
    fs::create_directory(directory / "here");
    auto const done = run_program(train_command(".", "--steps 2 --save-every 1"), {},
                                  "cd " + word(directory / "here") + ";");
    CHECK_MESSAGE(done.status == 0, done.err);
    CHECK(step_of(directory / "here") == 2);
}

TEST_CASE("train: numbers beyond all measure are refused, not computed with") {
    auto const huge =
        run_program("train --model quickstart --dry-run --batch-size 1099511627776 --seq-len 1099511627776");
    CHECK(huge.status == 1);
    CHECK_FALSE(huge.err.empty());
    auto const epsilon = run_program("train --model quickstart --dry-run --eps 0");
    CHECK(epsilon.status == 2);
    CHECK(mentions(epsilon.err, "epsilon"));
}
