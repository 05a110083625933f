// SPDX-License-Identifier: MIT
#include <deepseek/train/schedule.hpp>

#include <doctest/doctest.h>

#include <limits>

namespace ds = deepseek;

TEST_CASE("Schedule: warms up linearly, and the first step moves already") {
    ds::Schedule const schedule{
        .decay = ds::Decay::constant, .peak = 1, .floor = 0, .warmup = 4, .total = 10};
    CHECK(schedule(0) == 0.25);
    CHECK(schedule(3) == 1);
    CHECK(schedule(4) == 1);
    CHECK(schedule(9) == 1);
}

TEST_CASE("Schedule: cosine and linear go from the peak behind the warm-up to the floor at the last step") {
    for (auto const decay : {ds::Decay::cosine, ds::Decay::linear}) {
        ds::Schedule const schedule{.decay = decay, .peak = 2, .floor = 1, .warmup = 10, .total = 111};
        CHECK(schedule(9) == 2);
        CHECK(schedule(10) == 2);
        CHECK(schedule(60) == doctest::Approx(1.5));  // half of the hundred steps from 10 to 110
        CHECK(schedule(110) == doctest::Approx(1));
        CHECK(schedule(1000) == doctest::Approx(1));
    }
    ds::Schedule const cosine{.peak = 1, .floor = 0, .total = 101};
    CHECK(cosine(25) == doctest::Approx(0.853553390593));  // (1 + cos(pi / 4)) / 2
}

TEST_CASE("Schedule: warm-up, stable, decay falls only in the last steps") {
    ds::Schedule schedule{.decay = ds::Decay::stable, .peak = 1, .floor = 0, .warmup = 5, .total = 100};
    CHECK(schedule(89) == 1);
    CHECK(schedule(90) == 1);
    CHECK(schedule(93) == doctest::Approx(1 - 3.0 / 9));
    CHECK(schedule(99) == doctest::Approx(0));
    schedule.decay_steps = 50;
    CHECK(schedule(49) == 1);
    CHECK(schedule(99) == doctest::Approx(0));
    CHECK(schedule(74) == doctest::Approx(1 - 24.0 / 49));
}

TEST_CASE("Schedule: a run of one step has a rate; impossible runs are refused by name") {
    CHECK(ds::Schedule{.peak = 1, .floor = 0, .total = 1}(0) == 1);
    auto const refuse = [](ds::Schedule const& schedule, char const* text) {
        CHECK_THROWS_WITH_AS(schedule.validate(), doctest::Contains(text), ds::Error);
    };
    refuse({.peak = std::numeric_limits<double>::quiet_NaN()}, "peak");
    refuse({.peak = -1}, "peak");
    refuse({.peak = 1e-5, .floor = 1e-4}, "final");
    refuse({.total = 0}, "0 steps");
    refuse({.warmup = 20, .total = 10}, "20 steps of warm-up in a run of 10");
    refuse({.warmup = -1, .total = 10}, "warm-up");
    refuse({.total = 10, .decay_steps = 11}, "decay of 11 steps");
}
