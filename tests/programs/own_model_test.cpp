// SPDX-License-Identifier: MIT
// labels: programs slow
#include <deepseek/format/file.hpp>

#include "program.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

using namespace deepseek_tests;

TEST_CASE("own_train, own_generate: ten lines are the programs for a model of one's own") {
    ScratchDirectory const directory;
    auto const out = word(directory / "m");
    auto const flags = " --batch-size 2 --seq-len 16 --eval-batches 1 --threads 1 --steps 2";
    auto const trained = run_program("own_train --data " + word(story_data()) + " --out " + out + flags);
    REQUIRE_MESSAGE(trained.status == 0, trained.err);
    CHECK(mentions(trained.out, "model: ", " parameters",
                   "save 2/2 | "));  // no --model is needed: there is one

    auto const told = run_program("own_generate --model " + out + " -p One -n 4 --temp 0");
    REQUIRE_MESSAGE(told.status == 0, told.err);
    CHECK(told.out.starts_with("One"));
    CHECK(told.out.size() > 4);

    auto const resumed = run_program("own_train --resume --steps 3 --out " + out);
    REQUIRE_MESSAGE(resumed.status == 0, resumed.err);
    CHECK(mentions(resumed.out, "at step 2", "save 3/3 | "));
}

namespace {

// The training losses that a run has logged.
std::vector<double> losses(std::filesystem::path const& log) {
    std::vector<double> all;
    std::istringstream lines(deepseek::read_file(log));
    for (std::string line; std::getline(lines, line);) {
        auto const at = line.find("\"loss\":");
        if (line.find("\"kind\":\"step\"") != std::string::npos) {
            all.push_back(std::stod(line.substr(at + 7)));
        }
    }
    return all;
}

}  // namespace

TEST_CASE("own_train, own_generate: a run moves from one device to the other and loses nothing") {
    ScratchDirectory const directory;
    auto const start =
        " --data " + word(story_data()) +
        " --batch-size 2 --seq-len 16 --eval-batches 1 --schedule const --warmup 1 --log-every 1";
    auto const run = [&](std::string const& command, char const* out, char const* log) {
        auto const done =
            run_program(command + " --out " + word(directory / out) + " --jsonl " + word(directory / log));
        REQUIRE_MESSAGE(done.status == 0, done.err);
        return done.out;
    };
    run("own_train --threads 1 --steps 6" + start, "cpu", "cpu.log");
    CHECK(mentions(run("own_train --device emulated --steps 2" + start, "mixed", "mixed.log"),
                   "emulated device"));
    run("own_train --threads 1 --resume --steps 4", "mixed", "mixed.log");
    run("own_train --device emulated --resume --steps 6", "mixed", "mixed.log");

    auto const expected = losses(directory / "cpu.log");
    auto const given = losses(directory / "mixed.log");
    REQUIRE(expected.size() == 6);
    REQUIRE(given.size() == 6);
    for (std::size_t step = 0; step < 6; ++step) {
        CAPTURE(step);
        CHECK(given[step] ==
              doctest::Approx(expected[step]).epsilon(1e-5));  // float, in another order of sums
    }

    auto const text = " --model " + word(directory / "mixed") + " -p One -n 20 --temp 0";
    auto const told = run_program("own_generate" + text);
    auto const told_emulated = run_program("own_generate --device emulated" + text);
    REQUIRE_MESSAGE(told_emulated.status == 0, told_emulated.err);
    CHECK(told_emulated.out == told.out);
}

TEST_CASE("own_train, own_generate: a device that the program was compiled without is refused in a line") {
    ScratchDirectory const directory;
    auto const trained = run_program("own_train --steps 1 --data " + word(story_data()) + " --out " +
                                     word(directory / "m") + " --device cuda");
    CHECK(trained.status == 1);
    CHECK(mentions(trained.err, "--device cuda: this program was compiled without it"));
    CHECK(run_program("own_generate -p One --model " + word(directory / "x") + " --device gpu").status == 2);
}

TEST_CASE("own_generate: a directory of another model is refused with every difference") {
    ScratchDirectory const directory;
    auto const out = directory / "m";
    REQUIRE(run_program(train_command(out, "--steps 1")).status == 0);
    auto const refused = run_program("own_generate --model " + word(out) + " -p One");
    CHECK(refused.status == 1);
    CHECK(mentions(refused.err, "describes another model", "vocab_size", "hidden_size"));
}
