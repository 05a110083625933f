// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_OPS_ATTENTION_CASES_HPP
#define DEEPSEEK_TESTS_OPS_ATTENTION_CASES_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/ops/arguments/attention.hpp>
#include <deepseek/ops/attention.hpp>

#include "ops/backends.hpp"
#include "reference/attention.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

// Inputs and results of attention, and how exact it must be.

namespace deepseek_tests {

template <index_t Heads, index_t Nope, index_t Rope, index_t Value>
struct Widths {
    static constexpr index_t heads = Heads, nope = Nope, rope = Rope, value = Value;
    static constexpr index_t q = Heads * (Nope + Rope), kv = Heads * (Nope + Value), out = Heads * Value;
};
using Wide = Widths<2, 5, 2, 19>;     // values wider than keys, nothing a multiple of a vector
using Usual = Widths<3, 32, 16, 32>;  // everything a multiple of a vector
using Even = Widths<1, 12, 4, 3>;

template <class T, class W>
struct Inputs {
    Table<T, W::q> q;
    Table<T, W::kv> kv;
    Table<T, W::rope> kr;
    Table<T, W::out> dout;
    ds::AttentionOptions options;

    Inputs(index_t length_q, index_t length_k, ds::AttentionOptions chosen, double deviation = 1)
        : q(Table<T, W::q>::random(chosen.sequences * length_q, 1, deviation)),
          kv(Table<T, W::kv>::random(chosen.sequences * length_k, 2)),
          kr(Table<T, W::rope>::random(chosen.sequences * length_k, 3)),
          dout(Table<T, W::out>::random(chosen.sequences * length_q, 4)),
          options(chosen) {}

    /// Empty where there is none.
    std::vector<std::int32_t> first_key() const {
        return options.first_key == nullptr
                   ? std::vector<std::int32_t>{}
                   : std::vector<std::int32_t>(options.first_key, options.first_key + q.rows());
    }

    reference::Attention formula() const {
        auto const size = [](index_t n) { return static_cast<std::size_t>(n); };
        auto const length_q = q.rows() / options.sequences;
        auto const length_k = kv.rows() / options.sequences;
        reference::Attention a{size(options.sequences), size(length_q), size(length_k),
                               size(W::heads),          size(W::nope),  size(W::rope),
                               size(W::value),          options.causal, options.scale};
        auto const keys = first_key();
        a.first_key.assign(keys.begin(), keys.end());
        if (options.dropout.active()) {
            a.kept = [a, dropout = options.dropout](std::size_t s, std::size_t h, std::size_t i,
                                                    std::size_t j) {
                return dropout.factor<double>(((s * a.heads + h) * a.length_q + i) * a.length_k + j);
            };
        }
        return a;
    }
};

template <class T, class W>
struct Results {
    Table<T, W::out> out;
    Table<ds::accumulate_t<T>, W::heads> lse;
    Table<T, W::q> dq;
    Table<T, W::kv> dkv;
    Table<T, W::rope> dkr;

    friend bool same_bits(Results const& a, Results const& b) {
        return same_bits(a.out, b.out) && same_bits(a.lse, b.lse) && same_bits(a.dq, b.dq) &&
               same_bits(a.dkv, b.dkv) && same_bits(a.dkr, b.dkr);
    }
    bool guards_untouched() const {
        return out.guards_untouched() && lse.guards_untouched() && dq.guards_untouched() &&
               dkv.guards_untouched() && dkr.guards_untouched();
    }
};

template <class T, class W>
Results<T, W> attend(auto& be, Inputs<T, W> const& in) {
    auto const q = on(be, in.q);
    auto const kv = on(be, in.kv);
    auto const kr = on(be, in.kr);
    auto const first_key = on(be, in.first_key());
    auto options = in.options;
    options.first_key = first_key.data();

    auto out = on(be, Table<T, W::out>(in.q.rows()));
    auto lse = on(be, Table<ds::accumulate_t<T>, W::heads>(in.q.rows()));
    auto dq = on(be, Table<T, W::q>(in.q.rows()));
    auto dkv = on(be, Table<T, W::kv>(in.kv.rows()));
    auto dkr = on(be, Table<T, W::rope>(in.kv.rows()));
    ds::ops::attention(be, out.view(), lse.view(), q.view(), kv.view(), kr.view(), options);
    ds::ops::attention_backward(be, dq.view(), dkv.view(), dkr.view(), on(be, in.dout).view(),
                                std::as_const(out).view(), std::as_const(lse).view(), q.view(), kv.view(),
                                kr.view(), options);
    return {out.back(), lse.back(), dq.back(), dkv.back(), dkr.back()};
}

// A score sums key_width products of about one, with as many roundings, and is scaled by 1/sqrt(key_width); its error
// is that of the logarithm of a probability. Outputs and gradients add length_k or length_q of these, or value.
template <class T, class W>
double tolerance(index_t length) {
    auto const key_width = static_cast<double>(W::nope + W::rope);
    if constexpr (std::is_same_v<T, ds::bf16>) {
        // Sums are in float. What is rounded to 8 bits is every output, and the output that delta is taken of: a sum of
        // `value` products of about one whose error every score gradient of the row then has.
        return (2 + std::sqrt(static_cast<double>(W::value))) / 256;
    }
    return rounding<ds::accumulate_t<T>>(
        4 * (key_width * std::sqrt(key_width) + static_cast<double>(W::value + length)));
}

inline ds::Dropout dropping(double rate) { return {rate, ds::RandomKey{ds::Seed{5}}}; }

}  // namespace deepseek_tests

#endif
