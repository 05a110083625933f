// SPDX-License-Identifier: MIT
// labels: unit grad
#include "reference/attention.hpp"

#include <deepseek/ops/arguments/attention.hpp>

#include "ops/attention_cases.hpp"
#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

using namespace deepseek_tests;

// Without this the tests below would compare the reference loops with themselves.
static_assert(ds::Cpu::own::has<ds::ops::Attention> && ds::Cpu::own::has<ds::ops::AttentionBackward>);

namespace {

template <class T, class W>
void check_against_formula(index_t length_q, index_t length_k, ds::AttentionOptions options) {
    CAPTURE(length_q);
    CAPTURE(length_k);
    CAPTURE(options.causal);
    CAPTURE(options.dropout.rate);
    options.scale = 1 / std::sqrt(static_cast<double>(W::nope + W::rope));
    Inputs<T, W> const in(length_q, length_k, options);
    auto const formula = in.formula();
    auto const q = in.q.doubles(), kv = in.kv.doubles(), kr = in.kr.doubles();
    auto const forward = reference::attention(formula, q, kv, kr);
    auto const gradients =
        reference::attention_backward(formula, q, kv, kr, forward.probabilities, in.dout.doubles());
    auto const bound = tolerance<T, W>(std::max(length_q, length_k));
    on_every_backend([&](auto& be) { return attend(be, in); },
                     [&](Results<T, W> const& r) {
                         CHECK(difference(r.out.doubles(), forward.out) < bound);
                         CHECK(difference(r.lse.doubles(), forward.lse) < bound);
                         CHECK(difference(r.dq.doubles(), gradients.dq) < bound);
                         CHECK(difference(r.dkv.doubles(), gradients.dkv) < bound);
                         CHECK(difference(r.dkr.doubles(), gradients.dkr) < bound);
                         CHECK(r.guards_untouched());
                     });
}

}  // namespace

TEST_CASE_TEMPLATE("attention: forward and backward agree with their formulas", T, float, double) {
    check_against_formula<T, Wide>(1, 1, {});
    check_against_formula<T, Wide>(7, 7, {.sequences = 3});
    check_against_formula<T, Wide>(63, 63, {});
    check_against_formula<T, Wide>(65, 65, {.sequences = 2});
    check_against_formula<T, Usual>(64, 64, {.sequences = 2});
    check_against_formula<T, Usual>(129, 129, {});
    check_against_formula<T, Even>(300, 300, {.sequences = 2});
}

TEST_CASE("attention: activations of bf16 are summed in float and rounded once") {
    check_against_formula<ds::bf16, Wide>(7, 7, {.sequences = 3});
    check_against_formula<ds::bf16, Usual>(64, 64, {.sequences = 2});
    check_against_formula<ds::bf16, Wide>(70, 70, {.sequences = 2, .dropout = dropping(0.3F)});
    check_against_formula<ds::bf16, Even>(130, 130, {});
}

TEST_CASE_TEMPLATE("attention: queries may be the last of their sequence, or see all of it", T, float,
                   double) {
    check_against_formula<T, Wide>(1, 130, {.sequences = 2});
    check_against_formula<T, Usual>(37, 200, {});
    check_against_formula<T, Wide>(37, 70, {.sequences = 2, .causal = false});
    check_against_formula<T, Wide>(70, 37, {.causal = false});
}

TEST_CASE_TEMPLATE("attention: dropout acts on probabilities, the same in forward and backward", T, float,
                   double) {
    check_against_formula<T, Wide>(70, 70, {.sequences = 2, .dropout = dropping(0.3F)});
    check_against_formula<T, Even>(9, 140, {.causal = false, .dropout = dropping(0.7F)});
}

TEST_CASE_TEMPLATE("attention: a query that sees no key gives zeros and gradients of zero", T, float,
                   double) {
    check_against_formula<T, Wide>(9, 5, {.sequences = 2});
    check_against_formula<T, Wide>(80, 3, {});
    Inputs<T, Wide> const in(9, 5, {.sequences = 2});
    on_every_backend(
        [&](auto& be) { return attend(be, in); },
        [&](Results<T, Wide> const& r) {
            for (index_t const row : {0, 3, 9, 12}) {  // queries 0 … 3 of both sequences see nothing
                CHECK(r.lse(row, 1) == -std::numeric_limits<T>::infinity());
                CHECK(r.out(row, 7) == 0);
                CHECK(r.dq(row, 3) == 0);
            }
            CHECK(std::isfinite(r.lse(4, 1)));
        });
}

namespace {

// The first keys of documents that begin at `begins` (0 among them) in each of two sequences of `length`.
std::vector<std::int32_t> first_keys(index_t length, std::vector<index_t> const& first,
                                     std::vector<index_t> const& second) {
    std::vector<std::int32_t> keys;
    for (auto const* const begins : {&first, &second}) {
        for (index_t i = 0; i < length; ++i) {
            auto const next = std::upper_bound(begins->begin(), begins->end(), i);
            keys.push_back(static_cast<std::int32_t>(*(next - 1)));
        }
    }
    return keys;
}

}  // namespace

TEST_CASE_TEMPLATE("attention: documents of a sequence do not see each other", T, float, double) {
    auto const few = first_keys(9, {0, 4, 5}, {0});
    check_against_formula<T, Wide>(9, 9, {.sequences = 2, .first_key = few.data()});
    // At and beside the edges of tiles; a document longer than a task, and some of a single token.
    auto const many = first_keys(300, {0, 1, 2, 66, 130, 290}, {0, 63, 64, 65, 299});
    check_against_formula<T, Even>(300, 300, {.sequences = 2, .first_key = many.data()});
    check_against_formula<T, Usual>(300, 300,
                                    {.sequences = 2, .dropout = dropping(0.3), .first_key = many.data()});
}

TEST_CASE_TEMPLATE("attention: on the Cpu a document has the bits that it has alone", T, float, double) {
    auto const keys = first_keys(200, {0, 70, 75}, {0, 130});
    Inputs<T, Usual> const in(200, 200, {.sequences = 2, .scale = 0.1, .first_key = keys.data()});
    ds::Cpu cpu{{.threads = 2}};
    auto const whole = attend(cpu, in);
    for (auto const& [begin, end] :
         {std::pair<index_t, index_t>{0, 70}, {70, 75}, {75, 200}, {200, 330}, {330, 400}}) {
        Inputs<T, Usual> part(end - begin, end - begin, {.scale = 0.1});
        auto const copy = [&](auto& to, auto const& from, index_t shift) {
            for (index_t r = 0; r < end - begin; ++r) {
                std::copy_n(from.view().row(r + shift), from.view().cols, to.view().row(r));
            }
        };
        copy(part.q, in.q, begin);
        copy(part.kv, in.kv, begin);
        copy(part.kr, in.kr, begin);
        copy(part.dout, in.dout, begin);
        auto const alone = attend(cpu, part);
        auto cut = alone;
        copy(cut.out, whole.out, begin);
        copy(cut.lse, whole.lse, begin);
        copy(cut.dq, whole.dq, begin);
        copy(cut.dkv, whole.dkv, begin);
        copy(cut.dkr, whole.dkr, begin);
        CAPTURE(begin);
        CHECK(same_bits(cut, alone));
    }
}

TEST_CASE(
    "attention: documents need a causal call with as many queries as keys, and must begin where they say") {
    ds::Cpu cpu{{.threads = 1}};
    std::vector<std::int32_t> const keys(9);
    CHECK_THROWS_AS(attend(cpu, Inputs<float, Wide>(9, 9, {.causal = false, .first_key = keys.data()})),
                    ds::Error);
    CHECK_THROWS_AS(attend(cpu, Inputs<float, Wide>(5, 9, {.first_key = keys.data()})), ds::Error);
    std::vector<std::int32_t> const wrong{0, 0, 1, 1, 1, 1, 1, 1, 1};
    CHECK_THROWS_WITH_AS(attend(cpu, Inputs<float, Wide>(9, 9, {.first_key = wrong.data()})),
                         "attention: query 2 of sequence 0 begins a document at 1", ds::Error);
}
