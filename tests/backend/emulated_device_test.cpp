// SPDX-License-Identifier: MIT
#include <deepseek/backend/emulated.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/core/error.hpp>

#include "support/fault.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace ds = deepseek;
using deepseek_tests::faults;
using ds::index_t;
using Buffer = ds::Buffer<ds::Emulated>;

namespace {

constexpr index_t kBytes = 24;  // no multiple of the alignment

// Reads one byte where `at` points. Not what the optimiser would leave out.
void touch(std::byte const* at) { static_cast<void>(*static_cast<std::byte const volatile*>(at)); }

struct Touch {
    std::byte* at;
    void operator()(index_t) const { *static_cast<std::byte volatile*>(at) = std::byte{1}; }
};

struct AddOne {
    int* to;
    void operator()(index_t i) const { to[i] += 1; }
};

// Notes the order of calls.
struct Note {
    std::int32_t* next;
    std::int32_t* calls;
    void operator()(index_t i) const { calls[(*next)++] = static_cast<std::int32_t>(i); }
};

struct Throw {
    void operator()(index_t) const { throw ds::Error("broken body"); }
};

std::vector<std::int32_t> order_of(ds::Emulated& be, index_t count) {
    Buffer const memory(be, (count + 1) * index_t{sizeof(std::int32_t)});
    auto* const words = reinterpret_cast<std::int32_t*>(memory.data());
    be.fill_zero(words, memory.bytes());
    be.for_each(count, 1, Note{words, words + 1});
    std::vector<std::int32_t> calls(static_cast<std::size_t>(count));
    be.copy_to_host(calls.data(), words + 1, count * index_t{sizeof(std::int32_t)});
    return calls;
}

}  // namespace

TEST_CASE("Emulated: the host faults where it touches the device's memory, at any time") {
    ds::Emulated be;
    Buffer const memory(be, kBytes);
    CHECK(faults([&] { touch(memory.data()); }));
    be.fill_zero(memory.data(), kBytes);
    CHECK(faults([&] { touch(memory.data() + kBytes - 1); }));
    be.synchronize();
    CHECK(faults([&] { touch(memory.data()); }));
    CHECK_FALSE(faults([&] {
        be.for_each(1, 1, Touch{memory.data()});
        be.synchronize();
    }));
}

TEST_CASE("Emulated: a body faults behind and before a block, and in one that was given back") {
    ds::Emulated be;
    Buffer const one(be, kBytes), other(be, 3 * 4096);
    auto const touched = [&](std::byte* at) {
        return faults([&] {
            be.for_each(1, 1, Touch{at});
            be.synchronize();
        });
    };
    CHECK(touched(one.data() + 64));
    CHECK(touched(one.data() - 4096));
    CHECK(touched(other.data() + other.bytes()));
    CHECK(touched(other.data() - 1));
    CHECK_FALSE(touched(other.data()));
    CHECK_FALSE(touched(other.data() + other.bytes() - 1));

    std::byte* gone = nullptr;
    {
        Buffer const freed(be, kBytes);
        gone = freed.data();
    }
    Buffer const next(be, kBytes);
    CHECK(next.data() != gone);
    CHECK(touched(gone));
}

TEST_CASE("Emulated: memory starts as NaN, is aligned, and more than there is is an Error that says so") {
    ds::Emulated be{{.memory = 1000}};
    {
        Buffer const memory(be, 600);
        CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % 64 == 0);
        std::vector<double> values(600 / sizeof(double));
        be.copy_to_host(values.data(), memory.data(), 600);
        CHECK(std::all_of(values.begin(), values.end(), [](double v) { return std::isnan(v); }));
        CHECK_THROWS_WITH_AS(
            Buffer(be, 500),
            "emulated device: no room for 500 bytes: 600 are held, and of its 1000 bytes 400 are free",
            ds::OutOfMemory);
    }
    CHECK_NOTHROW(Buffer(be, 1000));
    CHECK_THROWS_AS(be.allocate(0), ds::Error);
    CHECK_THROWS_AS((ds::Emulated{{.memory = 0}}), ds::Error);
}

TEST_CASE("Emulated: nothing happens until the host waits, and then in the order it was asked for") {
    ds::Emulated be;
    Buffer const memory(be, 2 * index_t{sizeof(int)});
    auto* const device = reinterpret_cast<int*>(memory.data());
    int source[2] = {1, 2};
    be.copy_from_host(device, source, sizeof source);
    source[0] = 100;  // the copy was taken when it was asked for
    be.for_each(2, 1, AddOne{device});
    be.copy(device + 1, device, sizeof(int));
    be.for_each(2, 1, AddOne{device});
    int result[2] = {};
    be.copy_to_host(result, device, sizeof result);
    CHECK(result[0] == 3);
    CHECK(result[1] == 3);

    static int outside = 0;  // of the host, where one sees when a body runs
    be.for_each(1, 1, AddOne{&outside});
    CHECK(outside == 0);
    be.synchronize();
    CHECK(outside == 1);
    be.for_each(1, 1, AddOne{&outside});
    { Buffer const freed(be, kBytes); }
    CHECK(outside == 2);
}

TEST_CASE("Emulated: a queue that has grown long is worked off, and nothing is lost") {
    ds::Emulated be;
    std::vector<int> const ones(5'000'000, 1);
    auto const bytes = static_cast<index_t>(ones.size() * sizeof(int));
    Buffer const memory(be, bytes);
    auto* const device = reinterpret_cast<int*>(memory.data());
    for (int i = 0; i < 5; ++i) {
        be.copy_from_host(device, ones.data(), bytes);
        be.for_each(static_cast<index_t>(ones.size()), 1, AddOne{device});
    }
    std::vector<int> result(ones.size());
    be.copy_to_host(result.data(), device, bytes);
    CHECK(std::all_of(result.begin(), result.end(), [](int v) { return v == 2; }));
}

TEST_CASE("Emulated: every order calls a body once for every number") {
    ds::Emulated forwards;
    ds::Emulated backwards{{.order = ds::gpu::Order::backwards}};
    ds::Emulated scattered{{.order = ds::gpu::Order::scattered, .seed = ds::Seed{2}}};
    ds::Emulated same_seed{{.order = ds::gpu::Order::scattered, .seed = ds::Seed{2}}};
    for (index_t const count : {1, 2, 3, 4, 97, 360}) {
        CAPTURE(count);
        std::vector<std::int32_t> all(static_cast<std::size_t>(count));
        std::iota(all.begin(), all.end(), 0);
        CHECK(order_of(forwards, count) == all);
        auto const one = order_of(scattered, count);
        auto const another = order_of(scattered, count);
        CHECK(order_of(same_seed, count) == one);
        CHECK(order_of(same_seed, count) == another);
        if (count > 90) {
            CHECK(one != all);
            CHECK(one != another);
        }
        for (auto calls : {one, another}) {
            std::sort(calls.begin(), calls.end());
            CHECK(calls == all);
        }
        std::reverse(all.begin(), all.end());
        CHECK(order_of(backwards, count) == all);
    }
}

TEST_CASE("Emulated: copies that leave a block, and arguments that make no sense, are Errors") {
    ds::Emulated be;
    Buffer const memory(be, kBytes), other(be, kBytes);
    std::byte host[64] = {};
    CHECK_THROWS_WITH_AS(
        be.copy_to_host(host, memory.data(), kBytes + 1),
        "emulated device: copy_to_host reads from 25 bytes that are not in one block of its memory",
        ds::Error);
    CHECK_THROWS_AS(be.copy_to_host(host, host, 8), ds::Error);
    CHECK_THROWS_WITH_AS(be.copy_to_host(other.data(), memory.data(), 8),
                         "emulated device: copy_to_host writes to its memory, not the host's", ds::Error);
    CHECK_THROWS_AS(be.copy_to_host(nullptr, memory.data(), 8), ds::Error);
    CHECK_THROWS_WITH_AS(be.copy_from_host(memory.data(), nullptr, 8),
                         "emulated device: copy_from_host reads from a null pointer", ds::Error);
    CHECK_THROWS_AS(be.copy_from_host(host, host, 8), ds::Error);
    CHECK_THROWS_AS(be.copy_from_host(memory.data() + 20, host, 8), ds::Error);
    CHECK_THROWS_AS(be.copy(memory.data(), host, 8), ds::Error);
    CHECK_THROWS_AS(be.copy(host, memory.data(), 8), ds::Error);
    CHECK_THROWS_AS(be.fill_zero(memory.data() - 1, 8), ds::Error);
    CHECK_THROWS_AS(be.fill_zero(memory.data(), -1), ds::Error);
    CHECK_THROWS_WITH_AS(be.for_each(-1, 1, Touch{memory.data()}), "Gpu::for_each: the number of calls is -1",
                         ds::Error);
    be.copy_to_host(nullptr, nullptr, 0);  // nothing is always fine
    be.copy_from_host(nullptr, nullptr, 0);
    be.copy(nullptr, nullptr, 0);
    be.fill_zero(nullptr, 0);
    be.for_each(0, 1, Touch{nullptr});
}

TEST_CASE("Emulated: what a body throws comes out of the next wait, and nothing behind it was done") {
    ds::Emulated be;
    Buffer const memory(be, index_t{sizeof(int)});
    auto* const device = reinterpret_cast<int*>(memory.data());
    be.fill_zero(device, sizeof(int));
    be.for_each(1, 1, Throw{});
    be.for_each(1, 1, AddOne{device});
    SUBCASE("by itself") { CHECK_THROWS_WITH_AS(be.synchronize(), "broken body", ds::Error); }
    SUBCASE("though memory was given back in between") {
        { Buffer const freed(be, kBytes); }
        CHECK_THROWS_WITH_AS(be.synchronize(), "broken body", ds::Error);
    }
    CHECK(faults([&] { touch(memory.data()); }));
    int result = -1;
    be.copy_to_host(&result, device, sizeof result);
    CHECK(result == 0);
}

TEST_CASE("Emulated: counts what it was asked for") {
    ds::Emulated be;
    auto const start = be.counts();
    {
        Buffer const memory(be, kBytes);
        std::byte host[kBytes] = {};
        be.copy_from_host(memory.data(), host, kBytes);
        be.copy_from_host(memory.data(), host, 0);  // not asked for anything
        be.for_each(1, 1, Touch{memory.data()});
        be.for_each(0, 1, Touch{memory.data()});
        be.copy(memory.data(), memory.data() + 8, 8);
        be.fill_zero(memory.data(), 8);
        be.copy_to_host(host, memory.data(), kBytes);
        be.synchronize();
    }
    auto const taken = be.counts() - start;
    CHECK(taken.launches == 1);
    CHECK(taken.waits == 2);
    CHECK(taken.uploads == 1);
    CHECK(taken.downloads == 1);
    CHECK(taken.copies == 1);
    CHECK(taken.fills == 1);
    CHECK(taken.allocations == 1);
    CHECK(taken.frees == 1);
}
