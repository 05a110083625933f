// SPDX-License-Identifier: MIT
#include <deepseek/ops/shift.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <vector>

using namespace deepseek_tests;

namespace {
constexpr index_t kWidth = 6;
constexpr index_t kSequences = 2;
constexpr index_t kLength = 4;
using Ids = std::vector<std::int32_t>;
}  // namespace

TEST_CASE("shift_tokens: every sequence without its first tokens") {
    Ids const tokens{1, 2, 3, 4, 5, 6, 7, 8};
    Ids const expected[] = {tokens, {2, 3, 4, 6, 7, 8}, {3, 4, 7, 8}, {4, 8}, {}};
    for (index_t shift = 0; shift <= kLength; ++shift) {
        CAPTURE(shift);
        on_every_backend(
            [&](auto& be) {
                auto out = on(be, Ids(static_cast<std::size_t>(kSequences * (kLength - shift)), -1));
                auto const in = on(be, tokens);
                ds::ops::shift_tokens(be, out.data(), in.data(), kSequences, kLength, shift);
                return out.back();
            },
            [&](Ids const& out) { CHECK(out == expected[shift]); });
    }
}

TEST_CASE("documents: where they begin, and which targets lie in another one") {
    on_every_backend(
        [](auto& be) {
            auto starts = on(be, Ids{3, 3, 4, 4, 7, 8, 8, 9});
            ds::ops::find_document_starts(be, starts.data(), kSequences, kLength);
            auto out = on(be, Ids(6, -5));
            auto targets = on(be, Ids{10, 11, 12, 13, 14, 15});
            ds::ops::shift_documents(be, out.data(), targets.data(), starts.data(), kSequences, kLength, 1);
            auto all = starts.back();
            for (auto const& more : {out.back(), targets.back()}) {
                all.insert(all.end(), more.begin(), more.end());
            }
            return all;
        },
        [](Ids const& all) {
            CHECK(all == Ids{0,  0,  2,  2,  0,  1, 1, 3,  // starts
                             0,  0,  2,  0,  1,  1,        // of the shorter rows
                             10, -1, 12, -1, 14, -1});     // targets
        });
}

TEST_CASE_TEMPLATE("drop_last: rows without the last of every sequence; its gradient goes back to them", T,
                   float, double, ds::bf16) {
    auto const x = Table<T, kWidth>::random(kSequences * kLength, 1);
    auto const dy = Table<T, kWidth>::random(kSequences * (kLength - 1), 2);
    on_every_backend(
        [&](auto& be) {
            auto y = on(be, Table<T, kWidth>(kSequences * (kLength - 1)));
            ds::ops::drop_last(be, y.view(), on(be, x).view(), kSequences);
            return y.back();
        },
        [&](Table<T, kWidth> const& y) {
            for (index_t row = 0; row < y.rows(); ++row) {
                for (index_t c = 0; c < kWidth; ++c) {
                    CHECK(y(row, c) == x(row + row / (kLength - 1), c));
                }
            }
            CHECK(y.guards_untouched());
        });
    on_every_backend(
        [&](auto& be) {
            auto dx = on(be, x);
            ds::ops::drop_last_backward(be, dx.view(), on(be, dy).view(), kSequences);
            return dx.back();
        },
        [&](Table<T, kWidth> const& dx) {
            for (index_t row = 0; row < dx.rows(); ++row) {
                bool const last = row % kLength == kLength - 1;
                for (index_t c = 0; c < kWidth; ++c) {
                    auto const added = last ? 0 : wide(dy(row - row / kLength, c));
                    CHECK(dx(row, c) == ds::convert<T>(wide(x(row, c)) + added));
                }
            }
            CHECK(dx.guards_untouched());
        });
}

TEST_CASE("shifts: wrong extents are refused") {
    ds::Cpu cpu{{.threads = 1}};
    Ids ids(8);
    Table<float, kWidth> x(8), y(7);
    CHECK_THROWS_AS(ds::ops::shift_tokens(cpu, ids.data(), ids.data(), 2, 4, 5), ds::ShapeError);
    CHECK_THROWS_AS(ds::ops::shift_tokens(cpu, ids.data(), ids.data(), 2, 4, -1), ds::ShapeError);
    CHECK_THROWS_AS(ds::ops::shift_documents(cpu, ids.data(), ids.data(), ids.data(), 2, 4, 5),
                    ds::ShapeError);
    CHECK_THROWS_AS(ds::ops::drop_last(cpu, y.view(), x.view(), 2), ds::ShapeError);
    CHECK_THROWS_AS(ds::ops::drop_last_backward(cpu, x.view(), y.view(), 2), ds::ShapeError);
    CHECK_THROWS_WITH_AS(ds::ops::drop_last(cpu, x.view(), x.view(), 0), "drop_last: from 0 sequences",
                         ds::ShapeError);
    CHECK_THROWS_WITH_AS(ds::ops::drop_last_backward(cpu, x.view(), x.view(), -1),
                         "drop_last_backward: into -1 sequences", ds::ShapeError);
}

TEST_CASE("shifts: nothing to do for no sequences, and for sequences of one row without their last") {
    ds::Cpu cpu{{.threads = 1}};
    Table<float, kWidth> none(0), two(2);
    CHECK_NOTHROW(ds::ops::find_document_starts(cpu, nullptr, 0, kLength));
    CHECK_NOTHROW(ds::ops::find_document_starts(cpu, nullptr, kSequences, 0));
    CHECK_NOTHROW(ds::ops::drop_last(cpu, none.view(), two.view(), 2));
    CHECK_NOTHROW(ds::ops::drop_last_backward(cpu, two.view(), none.view(), 2));
}
