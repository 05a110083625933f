// SPDX-License-Identifier: MIT
#include "reference/latent_attention.hpp"

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/ops/attention.hpp>
#include <deepseek/ops/latent_attention.hpp>
#include <deepseek/ops/matmul.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

using namespace deepseek_tests;

// Without this the tests below would compare the reference loops with themselves.
static_assert(ds::Cpu::own::has<ds::ops::LatentAttention> && ds::Cpu::own::has<ds::ops::AbsorbQuery> &&
              ds::Cpu::own::has<ds::ops::ExpandValues>);

namespace {

template <index_t Heads, index_t Rank, index_t Nope, index_t Rope, index_t Value>
struct Widths {
    static constexpr index_t heads = Heads, rank = Rank, nope = Nope, rope = Rope, value = Value;
    static constexpr index_t q = Heads * (Nope + Rope), latent = Heads * Rank, out = Heads * Value,
                             up = Heads * (Nope + Value);
};
using Few = Widths<3, 37, 10, 4, 7>;  // heads of a token fill part of a vector, nothing is a multiple of one
using Many = Widths<20, 32, 16, 16, 32>;  // heads of a token fill more than a vector

/// Activations in T, cache and weights in C.
template <class T, class C, class W>
struct Inputs {
    Table<T, W::q> q;
    Table<T, W::latent> q_latent;
    Table<C, W::rank> latent;
    Table<C, W::rope> key;
    Table<C, W::up * W::rank> weight;  // in one row, as parameters lie

    Inputs(index_t tokens, index_t positions)
        : q(Table<T, W::q>::random(tokens, 1)),
          q_latent(Table<T, W::latent>::random(tokens, 2)),
          latent(Table<C, W::rank>::random(positions, 3)),
          key(Table<C, W::rope>::random(positions, 4)),
          weight(Table<C, W::up * W::rank>::random(1, 5)) {}

    ds::Matrix<C const, W::up, W::rank> kv_up() const { return kv_up(weight); }
    static ds::Matrix<C const, W::up, W::rank> kv_up(auto const& row) { return {row.view().data}; }
    double scale() const { return 1 / std::sqrt(static_cast<double>(W::rank + W::rope)); }

    reference::Latent formula() const {
        auto const size = [](index_t n) { return static_cast<std::size_t>(n); };
        return {size(q.rows()), size(latent.rows()), size(W::heads), size(W::rank),
                size(W::nope),  size(W::rope),       size(W::value), scale()};
    }
};

template <class T, class C, class W>
Table<T, W::latent> absorb(auto& be, Inputs<T, C, W> const& in) {
    auto result = on(be, Table<T, W::latent>(in.q.rows()));
    ds::ops::absorb_query<W::heads, W::nope, W::rope, W::value>(be, result.view(), on(be, in.q).view(),
                                                                in.kv_up(on(be, in.weight)));
    return result.back();
}

template <class T, class C, class W>
Table<T, W::latent> attend(auto& be, Inputs<T, C, W> const& in, Table<T, W::latent> const& q_latent) {
    auto result = on(be, Table<T, W::latent>(in.q.rows()));
    ds::ops::latent_attention<W::heads, W::nope>(be, result.view(), on(be, q_latent).view(),
                                                 on(be, in.q).view(), on(be, in.latent).view(),
                                                 on(be, in.key).view(), in.scale());
    return result.back();
}

template <class T, class C, class W>
Table<T, W::out> expand(auto& be, Inputs<T, C, W> const& in, Table<T, W::latent> const& context) {
    auto result = on(be, Table<T, W::out>(in.q.rows()));
    ds::ops::expand_values<W::heads, W::nope>(be, result.view(), on(be, context).view(),
                                              in.kv_up(on(be, in.weight)));
    return result.back();
}

template <class T, class C, class W>
void check_products(index_t tokens) {
    CAPTURE(tokens);
    Inputs<T, C, W> const in(tokens, 1);
    auto const formula = in.formula();
    auto const weight = in.weight.doubles();
    // Sums of products of about one, as many as rounded, relative to sums of about the root of their number.
    auto const bound = rounding<T>(2 * static_cast<double>(std::max(W::nope, W::rank)));
    auto const q_latent = reference::absorb_query(formula, in.q.doubles(), weight);
    on_every_backend([&](auto& be) { return absorb(be, in); },
                     [&](auto const& given) {
                         CHECK(difference(given.doubles(), q_latent) < bound);
                         CHECK(given.guards_untouched());
                     });
    auto const values = reference::expand_values(formula, in.q_latent.doubles(), weight);
    on_every_backend([&](auto& be) { return expand(be, in, in.q_latent); },
                     [&](auto const& given) {
                         CHECK(difference(given.doubles(), values) < bound);
                         CHECK(given.guards_untouched());
                     });
}

template <class T, class C, class W>
void check_attention(index_t tokens, index_t positions) {
    CAPTURE(tokens);
    CAPTURE(positions);
    Inputs<T, C, W> const in(tokens, positions);
    auto const expected = reference::latent_attention(in.formula(), in.q_latent.doubles(), in.q.doubles(),
                                                      in.latent.doubles(), in.key.doubles());
    // A score sums rank + rope products; its error is that of the logarithm of a weight. Then positions are summed.
    auto const width = static_cast<double>(W::rank + W::rope);
    auto const bound = rounding<T>(2 * width * std::sqrt(width) + static_cast<double>(positions));
    on_every_backend([&](auto& be) { return attend(be, in, in.q_latent); },
                     [&](auto const& given) {
                         CHECK(difference(given.doubles(), expected) < bound);
                         CHECK(given.guards_untouched());
                     });
}

template <class First, class Second>
struct Types {
    using T = First;
    using C = Second;
};

}  // namespace

TYPE_TO_STRING_AS("double", Types<double, double>);
TYPE_TO_STRING_AS("float", Types<float, float>);
TYPE_TO_STRING_AS("float with bf16", Types<float, ds::bf16>);

TEST_CASE_TEMPLATE("latent attention: queries are absorbed and values expanded as by their formulas", P,
                   Types<double, double>, Types<float, float>, Types<float, ds::bf16>) {
    for (index_t const tokens : {1, 3, 4, 9}) {
        check_products<typename P::T, typename P::C, Few>(tokens);
    }
    check_products<typename P::T, typename P::C, Many>(1);
    check_products<typename P::T, typename P::C, Many>(5);
}

TEST_CASE_TEMPLATE("latent attention: agrees with its formula", P, Types<double, double>, Types<float, float>,
                   Types<float, ds::bf16>) {
    using T = typename P::T;
    using C = typename P::C;
    for (index_t const positions : {1, 7, 64, 65, 256, 300, 1025}) {
        check_attention<T, C, Few>(1, positions);
    }
    check_attention<T, C, Few>(7, 7);
    check_attention<T, C, Few>(9, 261);  // the first tokens do not see the last part
    check_attention<T, C, Many>(1, 300);
    check_attention<T, C, Many>(3, 66);
}

TEST_CASE("latent attention: long contexts are cut into no more than so many parts") {
    check_attention<float, float, Widths<1, 8, 2, 2, 2>>(2, 9001);
}

TEST_CASE("latent attention: equals attention over expanded keys and values") {
    constexpr index_t kTokens = 5;
    constexpr index_t kPositions = 70;
    using W = Few;
    Inputs<double, double, W> const in(kTokens, kPositions);
    ds::Cpu be{{.threads = 2}};
    auto const absorbed = expand(be, in, attend(be, in, absorb(be, in)));

    Table<double, W::heads*(W::nope + W::value)> kv(kPositions);
    ds::ops::matmul_nt(be, kv.view(), in.latent.view(), in.kv_up());
    Table<double, W::out> expanded(kTokens);
    Table<double, W::heads> lse(kTokens);
    ds::ops::attention(be, expanded.view(), lse.view(), in.q.view(), std::as_const(kv).view(), in.key.view(),
                       {.scale = in.scale()});
    CHECK(difference(absorbed.doubles(), expanded.doubles()) < 1e-13);
}

TEST_CASE("latent attention: any number of threads gives the same bits") {
    Inputs<float, ds::bf16, Many> const in(3, 1500);
    ds::Cpu one{{.threads = 1}};
    auto const expected = attend(one, in, in.q_latent);
    for (int threads = 2; threads <= 7; ++threads) {
        CAPTURE(threads);
        ds::Cpu many{{.threads = threads}};
        CHECK(same_bits(attend(many, in, in.q_latent), expected));
    }
}

TEST_CASE("latent attention: entries behind the last token's own do not exist for the tokens before it") {
    Inputs<float, float, Few> in(2, 300);
    auto const scores_nan = [&](index_t position) {
        in.key(position, 0) = std::numeric_limits<float>::quiet_NaN();
    };
    scores_nan(299);  // seen by the second token only
    on_every_backend([&](auto& be) { return attend(be, in, in.q_latent); },
                     [&](auto const& given) {
                         CHECK(std::isfinite(given(0, 0)));
                         CHECK(std::isfinite(given(0, Few::latent - 1)));
                         CHECK(std::isnan(given(1, 0)));
                         CHECK(std::isnan(given(1, Few::latent - 1)));
                     });
}

TEST_CASE("latent attention: a score of minus infinity hides an entry, nothing but hidden ones give zeros") {
    constexpr auto kInfinity = std::numeric_limits<float>::infinity();
    Inputs<float, float, Few> in(1, 300);
    auto const set_key = [&](index_t position, float value) {
        in.key(position, 0) = value;
        for (index_t h = 0; h < Few::heads; ++h) {
            in.q(0, h * (Few::nope + Few::rope) + Few::nope) = 1;
        }
    };
    for (index_t position = 0; position < 300; ++position) {
        set_key(position, -kInfinity);
    }
    SUBCASE("all hidden") {
        on_every_backend(
            [&](auto& be) { return attend(be, in, in.q_latent); },
            [&](auto const& given) {
                auto const values = given.doubles();
                CHECK(std::all_of(values.begin(), values.end(), [](double v) { return v == 0; }));
            });
    }
    SUBCASE("one visible, in the second part") {
        set_key(280, 0);
        on_every_backend([&](auto& be) { return attend(be, in, in.q_latent); },
                         [&](auto const& given) {
                             for (index_t c = 0; c < Few::latent; ++c) {
                                 CHECK(given(0, c) == in.latent(280, c % Few::rank));
                             }
                         });
    }
}

TEST_CASE("latent attention: a growing cache needs no more scratch memory") {
    ds::Cpu be{{.threads = 2}};
    auto const capacity = [&] {
        auto sum = be.scratch().capacity();
        for (int worker = 0; worker < be.threads(); ++worker) {
            sum += be.pool().workspace(worker).capacity();
        }
        return sum;
    };
    // Two parts, whose strips are divided among tasks, and then nine, which tasks take whole. So many tokens that their
    // queries do not fit what every worker has to begin with.
    Inputs<float, float, Many> const first(300, 300);
    attend(be, first, first.q_latent);
    attend(be, first, first.q_latent);  // every worker now has as much as the one that had most
    auto const before = capacity();
    if (ds::cpu::kPolicy.latent_attention) {  // Eigen's blocks are smaller
        CHECK(be.pool().workspace(1).capacity() > ds::cpu::kSmallestWorkspace);
    }
    Inputs<float, float, Many> const later(300, 2100);
    attend(be, later, later.q_latent);
    attend(be, later, later.q_latent);
    CHECK(capacity() == before);
}

TEST_CASE("latent attention: no tokens are fine, wrong row counts are refused") {
    ds::Cpu be{{.threads = 1}};
    Inputs<float, float, Few> const none(0, 3);
    CHECK(expand(be, none, attend(be, none, absorb(be, none))).guards_untouched());

    Inputs<float, float, Few> const in(2, 3);
    Table<float, Few::latent> context(2), short_context(1);
    Table<float, Few::out> short_out(1);
    Inputs<float, float, Few> const short_cache(2, 1);
    CHECK_THROWS_WITH_AS(
        attend(be, short_cache, short_cache.q_latent),
        "latent_attention: 2 tokens, but the cache has only 1 entries, which must include theirs",
        ds::ShapeError);
    auto const call = [&](auto latent, auto key, auto to) {
        ds::ops::latent_attention<Few::heads, Few::nope>(be, to, in.q_latent.view(), in.q.view(), latent, key,
                                                         1.0);
    };
    CHECK_THROWS_WITH_AS(call(in.latent.view(), in.key.view(), short_context.view()),
                         "latent_attention: q has 2 rows, q_latent has 2, context has 1", ds::ShapeError);
    CHECK_THROWS_WITH_AS(call(in.latent.view(), short_cache.key.view(), context.view()),
                         "latent_attention: the cache has 3 latents and 1 keys", ds::ShapeError);
    CHECK_THROWS_WITH_AS((ds::ops::absorb_query<Few::heads, Few::nope, Few::rope, Few::value>(
                             be, short_context.view(), in.q.view(), in.kv_up())),
                         "absorb_query: q has 2 rows, q_latent has 1", ds::ShapeError);
    CHECK_THROWS_WITH_AS((ds::ops::expand_values<Few::heads, Few::nope>(
                             be, short_out.view(), std::as_const(context).view(), in.kv_up())),
                         "expand_values: context has 2 rows, out has 1", ds::ShapeError);
}
