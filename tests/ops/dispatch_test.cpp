// SPDX-License-Identifier: MIT
#include <deepseek/ops/dispatch.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

using namespace deepseek_tests;

namespace {

constexpr index_t kExperts = 5;
constexpr index_t kTopK = 2;
constexpr index_t kWidth = 77;  // a stretch of any vector and a part of one

// Experts of four tokens, in ascending order as a router leaves them; expert 3 has none.
std::vector<std::int32_t> chosen_experts() { return {1, 4, 0, 1, 1, 2, 0, 4}; }

constexpr index_t kTokens = 4;

template <class B>
auto rows_of(PlacedVector<std::int32_t, B>& chosen) {
    return ds::Rows<std::int32_t, kTopK>{chosen.data(), kTokens};
}

template <class B>
struct Plan {
    PlacedVector<std::int32_t, B> offsets, pair_at, row_of;

    explicit Plan(B& be)
        : offsets(be, std::vector<std::int32_t>(kExperts + 1, -1)),
          pair_at(be, std::vector<std::int32_t>(kTokens * kTopK, -1)),
          row_of(be, std::vector<std::int32_t>(kTokens * kTopK, -1)) {
        auto chosen = on(be, chosen_experts());
        ds::ops::dispatch<kExperts>(be, {offsets.data(), pair_at.data(), row_of.data()}, rows_of(chosen));
    }
};

// Of rows and of gates.
template <class Rows, class Gates>
struct Types {
    using T = Rows;
    using G = Gates;
};
using Float = Types<float, float>;
using Double = Types<double, double>;
using Narrow = Types<ds::bf16, ds::bf16>;
using NarrowRows = Types<ds::bf16, float>;

}  // namespace

TEST_CASE("dispatch: pairs are sorted by expert, tokens in their order within one") {
    on_every_backend(
        [](auto& be) {
            Plan const plan(be);
            auto all = plan.offsets.back();
            for (auto const& more : {plan.pair_at.back(), plan.row_of.back()}) {
                all.insert(all.end(), more.begin(), more.end());
            }
            return all;
        },
        [](std::vector<std::int32_t> const& all) {
            CHECK(all ==
                  std::vector<std::int32_t>{0, 2, 5, 6, 6, 8,          // offsets: expert 3 is empty
                                            2, 6, 0, 3, 4, 5, 1, 7,    // pair at every row
                                            2, 6, 0, 3, 4, 5, 1, 7});  // its own inverse, as it happens
        });
}

TEST_CASE_TEMPLATE("count_load: adds how often each expert was chosen, without ignored tokens", T, float,
                   double) {
    std::vector<ds::Token> const targets{9, -1, 0, 3};  // the second token does not count
    on_every_backend(
        [&](auto& be) {
            auto chosen = on(be, chosen_experts());
            auto load = on(be, std::vector<T>(kExperts, ds::as_value<T>((1U << 24U) + 11)));  // no float
            ds::Matrix<T, kExperts, 1> const view{load.data()};
            ds::ops::count_load(be, view, rows_of(chosen));
            ds::ops::count_load(be, view, rows_of(chosen), on(be, targets).data());
            return load.back();
        },
        [](std::vector<T> const& load) {
            std::uint32_t const added[] = {3, 5, 2, 0, 4};
            for (std::size_t e = 0; e < kExperts; ++e) {
                CHECK(ds::count_in(load[e]) == (1U << 24U) + 11 + added[e]);
            }
        });
}

TEST_CASE_TEMPLATE("gather_pairs: every row is its pair's token", T, float, double, ds::bf16) {
    auto const x = Table<T, kWidth>::random(4, 1);
    on_every_backend(
        [&](auto& be) {
            Plan const plan(be);
            auto y = on(be, Table<T, kWidth>(8));
            ds::ops::gather_pairs<kTopK>(be, y.view(), on(be, x).view(), plan.pair_at.data());
            return y.back();
        },
        [&](Table<T, kWidth> const& y) {
            index_t const tokens[] = {1, 3, 0, 1, 2, 2, 0, 3};
            for (index_t row = 0; row < 8; ++row) {
                for (index_t c = 0; c < kWidth; ++c) {
                    CHECK(y(row, c) == x(tokens[row], c));
                }
            }
            CHECK(y.guards_untouched());
        });
}

TEST_CASE_TEMPLATE("combine_pairs: a token's outputs, weighted by its gates; added where wanted", Both, Float,
                   Double, Narrow, NarrowRows) {
    using T = typename Both::T;
    using G = typename Both::G;
    auto const x = Table<T, kWidth>::random(8, 1);
    auto const gates = Table<G, kTopK>::random(4, 2);
    auto const before = Table<T, kWidth>::random(4, 3);
    for (bool const add : {false, true}) {
        for (bool const weighted : {false, true}) {
            CAPTURE(add);
            CAPTURE(weighted);
            on_every_backend(
                [&](auto& be) {
                    Plan const plan(be);
                    auto y = on(be, before);
                    auto const g = on(be, gates);
                    ds::ops::combine_pairs(
                        be, y.view(), on(be, x).view(), weighted ? g.view() : ds::Rows<G const, kTopK>{},
                        plan.row_of.data(), add ? ds::ops::Write::add : ds::ops::Write::overwrite);
                    return y.back();
                },
                [&](Table<T, kWidth> const& y) {
                    index_t const rows[4][kTopK] = {{2, 6}, {0, 3}, {4, 5}, {1, 7}};
                    std::vector<double> expected;
                    for (index_t t = 0; t < 4; ++t) {
                        for (index_t c = 0; c < kWidth; ++c) {
                            double sum = add ? double{wide(before(t, c))} : 0;
                            for (index_t k = 0; k < kTopK; ++k) {
                                sum += (weighted ? double{wide(gates(t, k))} : 1.0) *
                                       double{wide(x(rows[t][k], c))};
                            }
                            expected.push_back(sum);
                        }
                    }
                    CHECK(difference(y.doubles(), expected) <= rounding<T>(6));
                    CHECK(y.guards_untouched());
                });
        }
    }
}

TEST_CASE_TEMPLATE("gate_backward: the gate's gradient, and both factors scaled by the gate", Both, Float,
                   Double, Narrow, NarrowRows) {
    using T = typename Both::T;
    using G = typename Both::G;
    auto const hidden = Table<T, kWidth>::random(8, 1);
    auto const dhidden = Table<T, kWidth>::random(8, 2);
    auto const gates = Table<G, kTopK>::random(4, 3);
    on_every_backend(
        [&](auto& be) {
            Plan const plan(be);
            auto h = on(be, hidden);
            auto dh = on(be, dhidden);
            auto dgates = on(be, Table<T, kTopK>(kTokens));
            ds::ops::gate_backward(be, dgates.view(), h.view(), dh.view(), on(be, gates).view(),
                                   plan.pair_at.data());
            CHECK(dgates.back().guards_untouched());
            auto all = dgates.back().doubles();
            for (auto const& more : {h.back().doubles(), dh.back().doubles()}) {
                all.insert(all.end(), more.begin(), more.end());
            }
            return all;
        },
        [&](std::vector<double> const& all) {
            index_t const rows[4][kTopK] = {{2, 6}, {0, 3}, {4, 5}, {1, 7}};
            std::vector<double> expected(8 + 2 * 8 * kWidth);
            for (index_t t = 0; t < 4; ++t) {
                for (index_t k = 0; k < kTopK; ++k) {
                    auto const row = rows[t][k];
                    double dot = 0;
                    for (index_t c = 0; c < kWidth; ++c) {
                        auto const at = static_cast<std::size_t>(8 + row * kWidth + c);
                        dot += double{wide(hidden(row, c))} * double{wide(dhidden(row, c))};
                        expected[at] = double{wide(gates(t, k))} * double{wide(hidden(row, c))};
                        expected[at + 8 * kWidth] = double{wide(gates(t, k))} * double{wide(dhidden(row, c))};
                    }
                    expected[static_cast<std::size_t>(t * kTopK + k)] = dot;
                }
            }
            CHECK(difference(all, expected) <= rounding<T>(2 * kWidth));
        });
}

TEST_CASE("dispatch operations: row counts must agree, and no tokens are fine") {
    ds::Cpu cpu{{.threads = 1}};
    Table<float, kWidth> const tokens(4);
    Table<float, kWidth> pairs(7);
    Table<float, kTopK> gates(4);
    std::vector<std::int32_t> const places(8);
    CHECK_THROWS_AS(ds::ops::gather_pairs<kTopK>(cpu, pairs.view(), tokens.view(), places.data()),
                    ds::ShapeError);
    auto y = tokens;
    CHECK_THROWS_AS(
        ds::ops::combine_pairs(cpu, y.view(), pairs.view(), gates.view(), places.data(), ds::ops::Write::add),
        ds::ShapeError);
    CHECK_THROWS_AS(
        ds::ops::gate_backward(cpu, gates.view(), pairs.view(), pairs.view(), gates.view(), places.data()),
        ds::ShapeError);
    std::vector<std::int32_t> offsets(kExperts + 1, -1);
    ds::ops::dispatch<kExperts>(cpu, {offsets.data(), nullptr, nullptr}, ds::Rows<std::int32_t, kTopK>{});
    CHECK(offsets == std::vector<std::int32_t>(kExperts + 1, 0));
}
