// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/ops/convert.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

TEST_CASE("convert_set: tensors go to their places in the other set, rounded, and nothing else does") {
    constexpr index_t kSize = ds::Segment::kBlock + 3;
    std::vector<ds::Segment> const from_table{
        {.begin = 2, .size = 3}, {.begin = 8, .size = kSize, .blocks_before = 1, .elements_before = 3}};
    std::vector<ds::Segment> const to_table{
        {.begin = 1, .size = 3}, {.begin = 5, .size = kSize, .blocks_before = 1, .elements_before = 3}};
    std::vector<float> from;
    for (index_t i = 0; i < kSize + 10; ++i) {
        from.push_back(1 + static_cast<float>(i) / 1000);
    }
    std::vector<ds::bf16> const start(kSize + 6, ds::bf16(-1.0F));
    on_every_backend(
        [&](auto& be) {
            auto const in = on(be, from);
            auto out = on(be, start);
            auto const from_segments = on(be, from_table);
            auto const to_segments = on(be, to_table);
            ds::ops::convert_set(be, out.data(), {to_segments.data(), 2, 3, 3 + kSize},
                                 static_cast<float const*>(in.data()),
                                 {from_segments.data(), 2, 3, 3 + kSize});
            return out.back();
        },
        [&](std::vector<ds::bf16> const& out) {
            auto expected = start;
            for (index_t i = 0; i < 3; ++i) {
                expected[static_cast<std::size_t>(1 + i)] = ds::bf16(from[static_cast<std::size_t>(2 + i)]);
            }
            for (index_t i = 0; i < kSize; ++i) {
                expected[static_cast<std::size_t>(5 + i)] = ds::bf16(from[static_cast<std::size_t>(8 + i)]);
            }
            CHECK(out == expected);
        });
}

TEST_CASE("convert_set: sets of other tensors are refused") {
    ds::Cpu cpu{{.threads = 1}};
    ds::Segment const one{.size = 3};
    float from[3] = {};
    ds::bf16 to[3] = {};
    CHECK_THROWS_WITH_AS(ds::ops::convert_set(cpu, to, {&one, 1, 1, 2}, from, {&one, 1, 1, 3}),
                         "convert_set: 1 segments of 3 elements into 1 of 2", ds::ShapeError);
}
