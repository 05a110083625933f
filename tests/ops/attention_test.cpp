// SPDX-License-Identifier: MIT
// labels: unit grad
#include "reference/attention.hpp"

#include <deepseek/core/attention_shape.hpp>

#include "ops/attention_cases.hpp"
#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace deepseek_tests;

// Without this the tests below could compare the fallback with itself.
static_assert(
    requires(ds::Cpu & be, ds::Strided<float> to, ds::Strided<float const> from, ds::AttentionShape shape) {
        attention_impl(be, to, to, from, from, from, shape);
        attention_backward_impl(be, to, to, to, from, from, from, from, from, from, shape);
    },
    "Cpu has attention of its own");

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
