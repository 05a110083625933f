// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/meter.hpp>
#include <deepseek/core/arena.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <utility>

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

TEST_CASE("Arena: blocks grow while a step is learned and become one, after which nothing is allocated") {
    ds::Meter meter;
    ds::Arena<ds::Meter> arena(meter);
    auto const step = [&] {
        auto const scope = arena.scope();
        for (int i = 0; i < 40; ++i) {
            arena.take<float>(5000);
        }
    };
    step();
    auto const need = arena.high_water();
    CHECK(need >= 40 * 5000 * 4);
    step();
    auto const held = meter.bytes();
    CHECK(held == arena.capacity());
    CHECK(held >= need);
    auto const peak = meter.peak_bytes();
    step();
    CHECK(meter.bytes() == held);
    CHECK(meter.peak_bytes() == peak);
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
