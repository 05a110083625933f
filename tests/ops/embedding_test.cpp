// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/ops/embedding.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

constexpr index_t kVocabulary = 50;
constexpr index_t kWidth = 301;  // two whole strips of the backward pass and a part of one
constexpr index_t kRows = 203;   // more than the vocabulary: every id occurs several times

std::vector<ds::Token> some_tokens() {
    std::vector<ds::Token> ids;
    auto const key = ds::RandomKey{ds::Seed{1}};
    for (std::uint64_t i = 0; i < kRows; ++i) {
        ids.push_back(static_cast<ds::Token>(key.bits(i) % (kVocabulary - 1)));  // the last id never
    }
    ids.front() = 0;
    ids.back() = 0;
    return ids;
}

template <class W>
std::vector<W> some_table(std::uint64_t seed) {
    std::vector<W> table;
    auto const key = ds::RandomKey{ds::Seed{seed}};
    for (std::uint64_t i = 0; i < kVocabulary * kWidth; ++i) {
        table.push_back(ds::convert<W>(key.normal(i)));
    }
    return table;
}

// Of rows and of the table.
template <class Rows, class Table>
struct Types {
    using T = Rows;
    using W = Table;
};
using Float = Types<float, float>;
using Double = Types<double, double>;
using NarrowTable = Types<float, ds::bf16>;
using NarrowRows = Types<ds::bf16, float>;
using Narrow = Types<ds::bf16, ds::bf16>;

}  // namespace

TEST_CASE_TEMPLATE("embed: rows of the table, converted", Both, Float, Double, NarrowTable, NarrowRows,
                   Narrow) {
    using T = typename Both::T;
    using W = typename Both::W;
    auto const table = some_table<W>(2);
    auto const tokens = some_tokens();
    on_every_backend(
        [&](auto& be) {
            auto y = on(be, Table<T, kWidth>(kRows));
            auto const rows = on(be, table);
            ds::ops::embed(be, y.view(), ds::Matrix<W const, kVocabulary, kWidth>{rows.data()},
                           on(be, tokens).data());
            return y.back();
        },
        [&](Table<T, kWidth> const& y) {
            for (index_t r = 0; r < kRows; ++r) {
                auto const* const row = table.data() + tokens[static_cast<std::size_t>(r)] * kWidth;
                for (index_t c = 0; c < kWidth; ++c) {
                    REQUIRE(y(r, c) == ds::convert<T>(row[c]));
                }
            }
            CHECK(y.guards_untouched());
        });
}

TEST_CASE_TEMPLATE("embed_backward: adds every row to its token's, in the order of the rows", Both, Float,
                   Double, NarrowTable, NarrowRows, Narrow) {
    using T = typename Both::T;
    using G = typename Both::W;
    auto const before = some_table<G>(3);
    auto const tokens = some_tokens();
    auto const dy = Table<T, kWidth>::random(kRows, 4);
    auto expected = before;  // additions in the same type and order: the same bits
    for (index_t r = 0; r < kRows; ++r) {
        for (index_t c = 0; c < kWidth; ++c) {
            auto& to = expected[static_cast<std::size_t>(tokens[static_cast<std::size_t>(r)] * kWidth + c)];
            to = ds::convert<G>(wide(to) + ds::convert<ds::accumulate_t<G>>(dy(r, c)));
        }
    }
    on_every_backend(
        [&](auto& be) {
            auto dtable = on(be, before);
            ds::ops::embed_backward(be, ds::Matrix<G, kVocabulary, kWidth>{dtable.data()}, on(be, dy).view(),
                                    on(be, tokens).data());
            return dtable.back();
        },
        [&](std::vector<G> const& dtable) { CHECK(same_bits(dtable, expected)); });
}

TEST_CASE("embed: no rows are fine") {
    ds::Cpu cpu{{.threads = 1}};
    float table[8] = {};
    ds::Matrix<float, 2, 4> const matrix{table};
    ds::Rows<float, 4> const none{};
    CHECK_NOTHROW(ds::ops::embed(cpu, none, matrix, nullptr));
    CHECK_NOTHROW(ds::ops::embed_backward(cpu, matrix, none, nullptr));
}

#if defined(DEEPSEEK_CHECKS)
TEST_CASE("embed: with checks, an id outside the table is an error on any thread") {
    ds::Cpu cpu{{.threads = 2}};
    auto const table = some_table<float>(2);
    ds::Matrix<float const, kVocabulary, kWidth> const matrix{table.data()};
    Table<float, kWidth> y(kRows);
    auto tokens = some_tokens();
    for (ds::Token const bad : {ds::Token{-1}, ds::Token{kVocabulary}}) {
        tokens.back() = bad;
        CHECK_THROWS_AS(ds::ops::embed(cpu, y.view(), matrix, tokens.data()), ds::Error);
    }
}
#endif
