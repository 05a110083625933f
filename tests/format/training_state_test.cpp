// SPDX-License-Identifier: MIT
#include <deepseek/format/training_state.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <limits>

namespace format = deepseek::format;
using deepseek_tests::error_of;
using deepseek_tests::mentions;

namespace {

std::string refusal(std::string const& text) {
    return error_of<deepseek::FormatError>([&] { format::parse_training_state(text, "run/trainer.json"); });
}

}  // namespace

TEST_CASE("trainer.json: what is written is read back unchanged") {
    format::TrainingState const state{.step = 1'234'567,
                                      .updates = 1'234'560,
                                      .tokens = deepseek::index_t{1} << 53,
                                      .skips = 2,
                                      .data_position = 99,
                                      .seed = std::numeric_limits<std::uint64_t>::max(),
                                      .options = {{"--data", "some \"dir\"\n\u00e9"}, {"--lr", "3e-4"}},
                                      .measurements = {{"best", 0.1}, {"least", 5e-324}}};
    CHECK(format::parse_training_state(format::format_training_state(state)) == state);
    CHECK(format::parse_training_state(format::format_training_state({})) == format::TrainingState{});
    auto infinite = state;
    infinite.measurements["best"] = std::numeric_limits<double>::infinity();
    CHECK(format::parse_training_state(format::format_training_state(infinite)).measurements.size() == 1);
    CHECK(mentions(format::format_training_state(state), R"("library": "deepseek )"));
}

TEST_CASE("trainer.json: damage is refused, all of it in one error") {
    CHECK(mentions(refusal(""), "run/trainer.json", "not valid JSON"));
    CHECK(mentions(refusal("[]"), "expected a JSON object"));
    CHECK(mentions(refusal(R"({"format": 2})"), "has format 2, this library reads 1"));
    CHECK(mentions(
        refusal(R"({"format": 1, "step": -1, "seed": "x", "options": [], "measurements": {"a": "b"}})"),
        "step: expected a non-negative integer, found -1", "updates: missing", "tokens: missing",
        "skips: missing", "data_position: missing", "seed: expected", "options: expected an object",
        "measurements.a: expected a number"));
}

TEST_CASE("trainer.json: counters that no run can have reached are refused") {
    auto const state = format::format_training_state({});
    for (std::string const key : {"step", "updates", "tokens", "skips", "data_position"}) {
        CAPTURE(key);
        auto const at = state.find("\"" + key + "\": 0");
        REQUIRE(at != state.npos);
        for (std::string const value : {"9223372036854775807", "9007199254740993"}) {
            auto text = state;
            text.replace(at, key.size() + 5, "\"" + key + "\": " + value);
            CHECK(mentions(refusal(text), key + ": expected at most 9007199254740992, found " + value));
        }
        for (std::string const value : {"-1", "9223372036854775808", "1.5"}) {
            auto text = state;
            text.replace(at, key.size() + 5, "\"" + key + "\": " + value);
            CHECK(mentions(refusal(text), key + ": expected a non-negative integer, found " + value));
        }
    }
}
