// SPDX-License-Identifier: MIT
#include <deepseek/train/options.hpp>
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
    refuse({.peak = 1e-5, .floor = 1e-4, .total = 10}, "final");
    refuse({.total = -1}, "a run of -1 steps");
    refuse({.decay = ds::Decay::cosine}, "set total");
    refuse({.decay = ds::Decay::linear}, "set total");
    refuse({.decay = ds::Decay::stable}, "set total");
    refuse({.decay_steps = 5}, "decay of 5 steps in a run of 0");
    refuse({.warmup = 20, .total = 10}, "20 steps of warm-up in a run of 10");
    refuse({.warmup = -1, .total = 10}, "warm-up");
    refuse({.total = 10, .decay_steps = 11}, "decay of 11 steps");
}

TEST_CASE("Schedule: whoever sets only the rate has that rate for as long as the run lasts") {
    for (auto const decay : {ds::Decay::automatic, ds::Decay::constant}) {
        ds::Schedule const schedule{.decay = decay, .peak = 1e-5, .warmup = 2};
        schedule.validate();
        CHECK(schedule(0) == 0.5e-5);
        CHECK(schedule(1) == 1e-5);
        CHECK(schedule(1'000'000'000) == 1e-5);
    }
}

TEST_CASE("Schedule: steps beyond the run are like its last") {
    for (auto const decay : {ds::Decay::automatic, ds::Decay::constant, ds::Decay::linear, ds::Decay::cosine,
                             ds::Decay::stable}) {
        for (ds::index_t const warmup : {0, 3, 10}) {
            ds::Schedule const schedule{
                .decay = decay, .peak = 1, .floor = 0.25, .warmup = warmup, .total = 10};
            schedule.validate();
            CHECK(schedule(10) == schedule(9));
            CHECK(schedule(1000) == schedule(9));
        }
    }
}

TEST_CASE(
    "TrainOptions: what happens at a part of the run happens there, and never in a run without an end") {
    ds::TrainOptions options{.schedule = {.peak = 1, .total = 100},
                             .mtp_weight = 0.5,
                             .mtp_weight_final = 0.25,
                             .mtp_switch = 0.75,
                             .bias_speed = 2,
                             .bias_freeze = 0.5};
    options.validate();
    CHECK(options.mtp_weight_at(74) == 0.5);
    CHECK(options.mtp_weight_at(75) == 0.25);
    CHECK(options.mtp_weight_at(1000) == 0.25);
    CHECK(options.bias_speed_at(49) == 2);
    CHECK(options.bias_speed_at(50) == 0);
    CHECK(options.bias_speed_at(1000) == 0);

    options.mtp_switch = options.bias_freeze = 1;  // at no time, not even beyond the end
    CHECK(options.mtp_weight_at(1000) == 0.5);
    CHECK(options.bias_speed_at(1000) == 2);

    ds::TrainOptions open{.schedule = {.peak = 1}, .mtp_weight = 0.5, .bias_speed = 2};
    open.validate();
    for (ds::index_t const step : {0, 1, 1'000'000}) {
        CHECK(open.mtp_weight_at(step) == 0.5);
        CHECK(open.bias_speed_at(step) == 2);
    }
    open.mtp_switch = open.bias_freeze = 0;  // from the first step
    open.validate();
    CHECK(open.mtp_weight_at(0) == open.mtp_weight_final);
    CHECK(open.bias_speed_at(0) == 0);
    open.bias_freeze = 0.97;
    CHECK_THROWS_WITH_AS(open.validate(), doctest::Contains("bias_freeze is 0.97 of a run without an end"),
                         ds::Error);
}
