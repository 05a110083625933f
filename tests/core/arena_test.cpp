// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/meter.hpp>
#include <deepseek/core/arena.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace ds = deepseek;

TEST_CASE("Arena: what is taken is aligned, does not overlap, and is taken again after the scope") {
    ds::Cpu cpu{{.threads = 1}};
    ds::Arena<ds::Cpu> arena(cpu);
    auto const outer = arena.scope();
    auto* const a = arena.take<char>(3);
    char* first = nullptr;
    {
        auto const inner = arena.scope();
        first = arena.take<char>(100);
        CHECK(first >= a + 3);
        CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
    }
    CHECK(arena.take<char>(100) == first);
}

TEST_CASE("Arena: once a step is learned it holds what the step needs, and allocates nothing") {
    ds::Meter meter;
    ds::Arena<ds::Meter> arena(meter);
    auto const step = [&](int parts) {
        auto const scope = arena.scope();
        for (int i = 0; i < parts; ++i) {
            arena.take<float>(50'000);
        }
    };
    step(40);
    auto const need = arena.high_water();
    CHECK(need == 40 * ds::round_up(50'000 * 4, 64));  // gaps between blocks do not count
    CHECK(meter.bytes() == 0);
    CHECK(meter.peak_bytes() <= need + need / 4);
    step(40);
    CHECK(meter.bytes() == need);
    CHECK(meter.bytes() == arena.capacity());
    auto const peak = meter.peak_bytes();
    auto const generation = arena.generation();
    step(40);
    step(30);
    CHECK(meter.bytes() == need);
    CHECK(meter.peak_bytes() == peak);
    CHECK(arena.generation() == generation);
    step(41);  // a larger one is learned anew
    step(41);
    CHECK(arena.high_water() == 41 * ds::round_up(50'000 * 4, 64));
    CHECK(meter.bytes() == arena.high_water());
    CHECK(arena.generation() != generation);
}

TEST_CASE("Arena: while its generation stays, equal steps have equal addresses") {
    ds::Meter meter;
    ds::Arena<ds::Meter> arena(meter);
    auto const step = [&] {
        auto const scope = arena.scope();
        std::vector<char*> addresses;
        for (int i = 1; i < 30; ++i) {
            addresses.push_back(arena.take<char>(i * 5000));
        }
        return addresses;
    };
    auto const first = step();
    auto const before = arena.generation();
    auto const second = step();
    CHECK(arena.generation() != before);
    CHECK(second != first);
    auto const learned = arena.generation();
    CHECK(step() == second);
    CHECK(step() == second);
    CHECK(arena.generation() == learned);
}

TEST_CASE("Arena: what an outer scope holds stays where it is while an inner one grows and ends") {
    ds::Cpu cpu{{.threads = 1}};
    ds::Arena<ds::Cpu> arena(cpu);
    auto const outer = arena.scope();
    auto* const kept = arena.take<char>(100);
    std::memset(kept, 7, 100);
    for (int i = 0; i < 3; ++i) {
        auto const inner = arena.scope();
        std::memset(arena.take<char>(300'000), 1, 300'000);
    }
    CHECK(kept[0] == 7);
    CHECK(kept[99] == 7);
}

TEST_CASE("Arena: what is reserved is in one piece, and taking it allocates nothing") {
    ds::Meter meter;
    ds::Arena<ds::Meter> arena(meter);
    arena.reserve(0);
    CHECK(meter.bytes() == 0);
    arena.reserve(5'000'000);
    CHECK(meter.bytes() == 5'000'000);
    auto const generation = arena.generation();
    arena.reserve(1000);
    {
        auto const scope = arena.scope();
        arena.take<char>(2'000'000);
        arena.take<char>(2'900'000);
    }
    CHECK(arena.generation() == generation);
    CHECK(meter.bytes() == 5'000'000);
}

TEST_CASE("Arena: sizes that overflow are refused") {
    ds::Meter meter;
    ds::Arena<ds::Meter> arena(meter);
    CHECK_THROWS_AS(arena.take<double>(std::int64_t{1} << 61), ds::Error);
    CHECK_THROWS_AS((arena.rows<double, 1 << 20>(std::int64_t{1} << 44)), ds::Error);
    CHECK_THROWS_AS(arena.take<double>(-1), ds::Error);
}

TEST_CASE("Buffer: moves its memory, gives it back once") {
    ds::Meter meter;
    {
        ds::Buffer<ds::Meter> a(meter, 100);
        auto* const memory = a.data();
        ds::Buffer<ds::Meter> b(std::move(a));
        CHECK(b.data() == memory);
        CHECK(b.bytes() == 100);
        CHECK(meter.bytes() == 100);
        b = ds::Buffer<ds::Meter>(meter, 50);
        CHECK(meter.bytes() == 50);
    }
    CHECK(meter.bytes() == 0);
    CHECK_THROWS_AS(ds::Buffer<ds::Meter>(meter, -1), ds::Error);
}
