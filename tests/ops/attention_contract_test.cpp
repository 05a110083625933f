// SPDX-License-Identifier: MIT
// labels: unit grad
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/ops/attention.hpp>
#include <deepseek/testing/gradients.hpp>

#include "ops/attention_cases.hpp"
#include "ops/backends.hpp"
#include "reference/attention.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

using namespace deepseek_tests;

TEST_CASE("attention: any number of threads gives the same bits") {
    // Few heads and many keys: with enough threads, tasks share a head's gradients.
    Inputs<float, Wide> const in(333, 333, {.scale = 0.4, .dropout = dropping(0.1)});
    ds::Cpu one{{.threads = 1}};
    auto const expected = attend(one, in);
    for (int threads = 2; threads <= 9; ++threads) {
        CAPTURE(threads);
        ds::Cpu many{{.threads = threads}};
        CHECK(same_bits(attend(many, in), expected));
    }
}

TEST_CASE("attention: gradients agree with finite differences, with dropout") {
    Inputs<double, Wide> in(6, 9, {.sequences = 2, .scale = 0.4, .dropout = dropping(0.3)});
    ds::Cpu be{{.threads = 2}};
    auto const given = attend(be, in);
    auto const loss = [&] {
        auto const out = attend(be, in).out.doubles();
        auto const weights = in.dout.doubles();
        double sum = 0;
        for (std::size_t i = 0; i < out.size(); ++i) {
            sum += out[i] * weights[i];
        }
        return sum;
    };
    auto const check = [&]<index_t C>(char const* name, Table<double, C>& values,
                                      Table<double, C> const& gradient) {
        for (index_t row = 0; row < values.rows(); ++row) {
            auto const report =
                ds::testing::compare_gradient(name, &values(row, 0), &gradient(row, 0), C, loss);
            CAPTURE(name);
            CAPTURE(row);
            CAPTURE(report.entry);
            CHECK(report.error < 1e-7);
        }
    };
    check("q", in.q, given.dq);
    check("kv", in.kv, given.dkv);
    check("kr", in.kr, given.dkr);
}

TEST_CASE("attention: dropout keeps the mean") {
    // With values of one, an output is the sum of kept probabilities.
    constexpr index_t kLength = 128;
    Inputs<float, Even> in(kLength, kLength, {.sequences = 4, .causal = false, .dropout = dropping(0.25)});
    for (index_t row = 0; row < in.kv.rows(); ++row) {
        for (index_t c = 0; c < Even::value; ++c) {
            in.kv(row, Even::nope + c) = 1;
        }
        for (index_t c = 0; c < Even::nope; ++c) {
            in.kv(row, c) = 0;
        }
        std::fill_n(in.kr.view().row(row), Even::rope,
                    0.0F);  // equal scores: every probability is 1 / kLength
    }
    on_every_backend([&](auto& be) { return attend(be, in); },
                     [&](Results<float, Even> const& r) {
                         double sum = 0;
                         index_t whole = 0;
                         for (index_t row = 0; row < in.q.rows(); ++row) {
                             sum += double{r.out(row, 0)};
                             whole += r.out(row, 0) == 1 ? 1 : 0;
                         }
                         // A kept factor has variance rate / (1 - rate) = 1/3; the mean is over all pairs.
                         auto const pairs = static_cast<double>(in.q.rows() * kLength);
                         auto const mean = sum / static_cast<double>(in.q.rows());
                         CHECK(std::abs(mean - 1) < 5 * std::sqrt(1.0 / 3 / pairs));
                         CHECK(whole < in.q.rows() / 2);
                     });
}

TEST_CASE_TEMPLATE("attention: large scores neither overflow nor vanish", T, float, double) {
    // Scores of about 1e4: their rounding alone is 1e-3 in float, but one key takes nearly all.
    Inputs<T, Wide> const in(70, 70, {.scale = 1000}, 3);
    on_every_backend([&](auto& be) { return attend(be, in); },
                     [&](Results<T, Wide> const& r) {
                         index_t copies = 0;
                         for (index_t row = 0; row < 70; ++row) {
                             for (index_t key = 0; key <= row; ++key) {
                                 auto const* const value = &in.kv(key, Wide::nope);
                                 copies += std::equal(value, value + Wide::value, &r.out(row, 0),
                                                      [](T a, T b) { return std::abs(a - b) < T(0.02); })
                                               ? 1
                                               : 0;
                             }
                         }
                         CHECK(copies >= 67);  // two keys may be about as good
                     });
}

TEST_CASE_TEMPLATE("attention: a score of minus infinity hides a key, NaN shows in every query that sees it",
                   T, float, double) {
    constexpr auto kInfinity = std::numeric_limits<T>::infinity();
    Inputs<T, Wide> in(70, 70, {.scale = 0.5});
    auto const expected =
        reference::attention(in.formula(), in.q.doubles(), in.kv.doubles(), in.kr.doubles());

    SUBCASE("minus infinity") {
        for (index_t row = 0; row < 70; ++row) {
            in.q(row, 0) = 1;
        }
        in.kv(40, 0) = -kInfinity;  // head 0
        in.kv(0, 0) = -kInfinity;
        on_every_backend(
            [&](auto& be) { return attend(be, in); },
            [&](Results<T, Wide> const& r) {
                CHECK(r.lse(0, 0) == -kInfinity);  // its only key is hidden
                CHECK(r.out(0, 4) == 0);
                auto const out = r.out.doubles();
                CHECK(std::all_of(out.begin(), out.end(), [](double v) { return std::isfinite(v); }));
                CHECK(r.dkv(40, Wide::nope) == 0);  // nobody sees its value
                CHECK(r.dkv(41, Wide::nope) != 0);
            });
    }
    SUBCASE("NaN in a key") {
        in.kr(40, 1) = std::numeric_limits<T>::quiet_NaN();
        on_every_backend([&](auto& be) { return attend(be, in); },
                         [&](Results<T, Wide> const& r) {
                             auto given = r.out.doubles();
                             auto const first = static_cast<std::ptrdiff_t>(40 * Wide::out);
                             CHECK(std::all_of(given.begin() + first, given.end(),
                                               [](double v) { return std::isnan(v); }));
                             given.resize(40 * Wide::out);
                             auto unaffected = expected.out;
                             unaffected.resize(40 * Wide::out);
                             CHECK(difference(given, unaffected) < tolerance<T, Wide>(70));
                         });
    }
    SUBCASE("NaN in a query") {
        in.q(40, 1) = std::numeric_limits<T>::quiet_NaN();  // head 0
        on_every_backend([&](auto& be) { return attend(be, in); },
                         [&](Results<T, Wide> const& r) {
                             CHECK(std::isnan(r.out(40, 0)));
                             CHECK(std::isnan(r.lse(40, 0)));
                             CHECK_FALSE(std::isnan(r.out(40, Wide::value)));
                             CHECK_FALSE(std::isnan(r.out(39, 0)));
                             CHECK_FALSE(std::isnan(r.out(41, 0)));
                         });
    }
}

TEST_CASE("attention: bf16 activations are computed in float") {
    Inputs<ds::bf16, Wide> const in(9, 9, {.scale = 0.4});
    auto const expected =
        reference::attention(in.formula(), in.q.doubles(), in.kv.doubles(), in.kr.doubles());
    on_every_backend(
        [&](auto& be) { return attend(be, in); },
        [&](Results<ds::bf16, Wide> const& r) {
            CHECK(difference(r.out.doubles(), expected.out) < 0x1p-8);  // rounded once, to 8 bits
            CHECK(difference(r.lse.doubles(), expected.lse) < tolerance<float, Wide>(9));
        });
}

TEST_CASE("attention: a repeated call allocates nothing") {
    Inputs<float, Wide> const in(200, 200, {});
    ds::Cpu be{{.threads = 2}};
    auto const capacity = [&] {
        auto sum = be.scratch().capacity();
        for (int worker = 0; worker < be.threads(); ++worker) {
            sum += be.pool().workspace(worker).capacity();
        }
        return sum;
    };
    attend(be, in);
    attend(be, in);  // every worker now has as much as the one that had most
    auto const before = capacity();
    attend(be, in);
    CHECK(capacity() == before);
}

TEST_CASE("attention: no rows are fine, wrong ones are refused") {
    ds::Cpu be{{.threads = 1}};
    Inputs<float, Wide> const none(0, 0, {.sequences = 2});
    CHECK(attend(be, none).guards_untouched());

    Inputs<float, Wide> const no_queries(0, 3, {});
    auto const result = attend(be, no_queries);
    CHECK(result.dkv(2, 1) == 0);
    CHECK(result.dkr(2, 1) == 0);
    Inputs<float, Wide> const no_keys(3, 0, {});
    CHECK(attend(be, no_keys).out(2, 1) == 0);

    Inputs<float, Wide> in(6, 6, {.sequences = 4});
    in.options.sequences = 5;
    CHECK_THROWS_WITH_AS(attend(be, in),
                         "attention: 24 queries and 24 keys are not 5 sequences of equal length",
                         ds::ShapeError);
    in.options.sequences = 4;
    in.kr = Table<float, Wide::rope>(23);
    CHECK_THROWS_WITH_AS(attend(be, in), "attention: kv has 24 rows, kr has 23", ds::ShapeError);
    in.kr = Table<float, Wide::rope>::random(24, 3);
    in.options.dropout.rate = 1;
    CHECK_THROWS_WITH_AS(attend(be, in), "attention: dropout rate 1 is outside [0, 1)", ds::Error);
    in.options.dropout.rate = 0;

    auto r = attend(be, in);
    Table<float, Wide::heads> short_lse(23);
    CHECK_THROWS_WITH_AS(ds::ops::attention(be, r.out.view(), short_lse.view(), in.q.view(), in.kv.view(),
                                            in.kr.view(), in.options),
                         "attention: q has 24 rows, out has 24, lse has 23", ds::ShapeError);
    Table<float, Wide::kv> short_dkv(23);
    CHECK_THROWS_WITH_AS(ds::ops::attention_backward(be, r.dq.view(), short_dkv.view(), r.dkr.view(),
                                                     in.dout.view(), r.out.view(), r.lse.view(), in.q.view(),
                                                     in.kv.view(), in.kr.view(), in.options),
                         "attention_backward: kv has 24 rows, dkv has 23, dkr has 24", ds::ShapeError);
}
