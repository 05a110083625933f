// SPDX-License-Identifier: MIT
// labels: programs slow
#include "program.hpp"

#include <string>

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

TEST_CASE("own_generate: a directory of another model is refused with every difference") {
    ScratchDirectory const directory;
    auto const out = directory / "m";
    REQUIRE(run_program(train_command(out, "--steps 1")).status == 0);
    auto const refused = run_program("own_generate --model " + word(out) + " -p One");
    CHECK(refused.status == 1);
    CHECK(mentions(refused.err, "describes another model", "vocab_size", "hidden_size"));
}
