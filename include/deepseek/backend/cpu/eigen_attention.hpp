// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_EIGEN_ATTENTION_HPP
#define DEEPSEEK_BACKEND_CPU_EIGEN_ATTENTION_HPP

#include <deepseek/backend/cpu/eigen_product.hpp>
#include <deepseek/backend/cpu/eigen_softmax.hpp>
#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/attention.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

// Attention by Eigen: products of a block of queries with a block of keys, in the type of sums. Blocks depend on the
// extents alone, and so do the bits.

namespace deepseek::inline DEEPSEEK_ABI::cpu {

namespace detail {

/// One head of one sequence.
template <class T>
struct EigenHead {
    using S = accumulate_t<T>;
    static constexpr index_t kQueries = 64;
    static constexpr index_t kKeys = 128;

    Strided<T const> q;
    Strided<T const> kv;
    Strided<T const> kr;
    AttentionShape const& shape;
    index_t sequence;
    index_t head;

    /// Rows [begin, begin + count) of a tensor of [nope | rope]-wide or value-wide heads.
    template <class U>
    Strided<U> rows_of(Strided<U> all, index_t width, index_t length, index_t begin, index_t count) const {
        return {all.row(sequence * length + begin) + head * width, count, width, all.stride};
    }

    void copy_queries(S* to, index_t begin, index_t count) const {  // [count, key_width]
        copy_block(to, rows_of(q, shape.key_width(), shape.length_q, begin, count), shape.key_width());
    }
    void copy_keys(S* to, index_t begin, index_t count) const {  // [count, key_width]
        auto keys = rows_of(kv, shape.nope + shape.value, shape.length_k, begin, count);
        keys.cols = shape.nope;
        copy_block(to, keys, shape.key_width());
        copy_block(to + shape.nope,
                   Strided<T const>{kr.row(sequence * shape.length_k + begin), count, shape.rope, kr.stride},
                   shape.key_width());
    }
    void copy_values(S* to, index_t begin, index_t count) const {  // [count, value]
        auto values = rows_of(kv, shape.nope + shape.value, shape.length_k, begin, count);
        values.data += shape.nope;
        values.cols = shape.value;
        copy_block(to, values, shape.value);
    }
    /// What dropout multiplies the probabilities of a query by.
    void kept(S* to, index_t query, index_t begin, index_t count) const {
        for (index_t j = 0; j < count; ++j) {
            to[j] = shape.dropout.template factor<S>(shape.probability(sequence, head, query, begin + j));
        }
    }
    /// How many of the keys [begin, begin + count) a query sees: the first so many.
    index_t seen(index_t query, index_t begin, index_t count) const {
        return std::clamp<index_t>(shape.visible(query) - begin, 0, count);
    }
    /// The first key that no query of a block sees.
    index_t end_of_keys(index_t last_query) const {
        return std::min(shape.visible(last_query), shape.length_k);
    }
};

// out and lse of queries [begin, end).
template <class T>
void attend_by_eigen(Strided<T> out, Strided<accumulate_t<T>> lse, EigenHead<T> const& in, index_t begin,
                     index_t end, Workspace& workspace) {
    using S = accumulate_t<T>;
    constexpr auto kKeys = EigenHead<T>::kKeys;
    auto const& shape = in.shape;
    auto const count = end - begin;
    auto const width = shape.key_width();
    auto const scope = workspace.scope();
    auto* const queries = workspace.take<S>(count * width);
    auto* const keys = workspace.take<S>(kKeys * width);
    auto* const values = workspace.take<S>(kKeys * shape.value);
    auto* const scores = workspace.take<S>(count * kKeys);
    auto* const kept = workspace.take<S>(kKeys);
    EigenSoftmax<S> softmax(workspace.take<S>(EigenSoftmax<S>::size(count, shape.value)), count, shape.value);
    in.copy_queries(queries, begin, count);
    for (index_t key = 0; key < in.end_of_keys(end - 1); key += kKeys) {
        auto const block = std::min(kKeys, in.end_of_keys(end - 1) - key);
        in.copy_keys(keys, key, block);
        in.copy_values(values, key, block);
        assign_product(scores, kKeys, queries, width, keys, width, count, block, width);
        softmax.add(
            scores, kKeys, values, block, static_cast<S>(shape.scale),
            [&](index_t i) { return in.seen(begin + i, key, block); },
            [&](index_t i, S* weights) {
                if (shape.dropout.active()) {
                    in.kept(kept, begin + i, key, block);
                    rows::sweep(
                        block, S{0}, [](auto w, auto const& factor) { w *= factor; }, weights,
                        static_cast<S const*>(kept));
                }
            });
    }
    for (index_t i = 0; i < count; ++i) {
        *in.rows_of(lse, 1, shape.length_q, begin + i, 1).data = softmax.log_sum_exp(i);
        softmax.write(i, in.rows_of(out, shape.value, shape.length_q, begin + i, 1).data);
    }
}

/// What the backward pass reads besides the inputs and writes, whole tensors.
template <class T>
struct EigenGradients {
    Strided<T> dq;
    Strided<T> dkv;
    Strided<accumulate_t<T>> rotary;  ///< [keys, heads * rope]: every head's part of dkr
    Strided<T const> dout;
    Strided<T const> out;
    Strided<accumulate_t<T> const> lse;
};

// All gradients of one head. Probabilities are recomputed from lse; with p = e^(score - lse), dp = dout · v, and
// delta = dout · out: d score = p · (dp · kept - delta).
template <class T>
void differentiate_by_eigen(EigenGradients<T> const& to, EigenHead<T> const& in, Workspace& workspace) {
    using S = accumulate_t<T>;
    constexpr auto kQueries = EigenHead<T>::kQueries;
    constexpr auto kKeys = EigenHead<T>::kKeys;
    auto const& shape = in.shape;
    auto const width = shape.key_width();
    auto const value = shape.value;
    auto const scale = static_cast<S>(shape.scale);
    auto const scope = workspace.scope();
    auto* const dq = workspace.take<S>(shape.length_q * width);
    auto* const dkeys = workspace.take<S>(kKeys * width);
    auto* const dvalues = workspace.take<S>(kKeys * value);
    auto* const keys = workspace.take<S>(kKeys * width);
    auto* const values = workspace.take<S>(kKeys * value);
    auto* const queries = workspace.take<S>(kQueries * width);
    auto* const douts = workspace.take<S>(kQueries * value);
    auto* const weights =
        workspace.take<S>(kQueries * kKeys);  // probabilities, then what dropout leaves of them
    auto* const dscores = workspace.take<S>(kQueries * kKeys);
    auto* const kept = workspace.take<S>(kKeys);
    auto* const delta = workspace.take<S>(shape.length_q);

    std::fill_n(dq, shape.length_q * width, S{0});
    for (index_t i = 0; i < shape.length_q; ++i) {
        rows::Sum<S> sum;
        rows::sweep(
            value, S{0}, [&](auto const& a, auto const& b) { sum += a * b; },
            in.rows_of(to.dout, value, shape.length_q, i, 1).data,
            in.rows_of(to.out, value, shape.length_q, i, 1).data);
        delta[i] = sum.total();
    }
    for (index_t key = 0; key < shape.length_k; key += kKeys) {
        auto const block = std::min(kKeys, shape.length_k - key);
        in.copy_keys(keys, key, block);
        in.copy_values(values, key, block);
        std::fill_n(dkeys, block * width, S{0});
        std::fill_n(dvalues, block * value, S{0});
        for (auto begin = shape.first_query(key) / kQueries * kQueries; begin < shape.length_q;
             begin += kQueries) {
            auto const count = std::min(kQueries, shape.length_q - begin);
            in.copy_queries(queries, begin, count);
            copy_block(douts, in.rows_of(to.dout, value, shape.length_q, begin, count), value);
            assign_product(weights, kKeys, queries, width, keys, width, count, block, width);
            assign_product(dscores, kKeys, douts, value, values, value, count, block, value);
            for (index_t i = 0; i < count; ++i) {
                auto* const p = weights + i * kKeys;
                auto* const ds = dscores + i * kKeys;
                auto const log_sum_exp = *in.rows_of(to.lse, 1, shape.length_q, begin + i, 1).data;
                // A row that saw nothing has lse -inf and no probability.
                auto const seen =
                    log_sum_exp == -std::numeric_limits<S>::infinity() ? 0 : in.seen(begin + i, key, block);
                std::fill(p + seen, p + block, S{0});
                std::fill(ds + seen, ds + block, S{0});
                if (shape.dropout.active()) {
                    in.kept(kept, begin + i, key, seen);
                } else {
                    std::fill_n(kept, seen, S{1});
                }
                rows::sweep(
                    seen, -std::numeric_limits<S>::infinity(),
                    [&, d = delta[begin + i]](auto weight, auto dscore, auto const& factor) {
                        rows::Values<S> const probability = rows::exponential(weight * scale, log_sum_exp);
                        dscore = probability * (dscore * factor - d) * scale;
                        weight = probability * factor;
                    },
                    p, ds, static_cast<S const*>(kept));
            }
            add_product_of_transpose(dvalues, value, weights, kKeys, douts, value, block, value, count);
            add_product_of_transpose(dkeys, width, dscores, kKeys, queries, width, block, width, count);
            add_product(dq + begin * width, width, dscores, kKeys, keys, width, count, width, block);
        }
        for (index_t j = 0; j < block; ++j) {
            auto* const dkv = in.rows_of(to.dkv, shape.nope + value, shape.length_k, key + j, 1).data;
            round_row(dkv, dkeys + j * width, shape.nope);
            round_row(dkv + shape.nope, dvalues + j * value, value);
            round_row(in.rows_of(to.rotary, shape.rope, shape.length_k, key + j, 1).data,
                      dkeys + j * width + shape.nope, shape.rope);
        }
    }
    for (index_t i = 0; i < shape.length_q; ++i) {
        round_row(in.rows_of(to.dq, width, shape.length_q, i, 1).data, dq + i * width, width);
    }
}

}  // namespace detail

/// See ops::attention.
template <class T>
void attention_by_eigen(Pool& pool, Strided<T> out, Strided<accumulate_t<T>> lse, Strided<T const> q,
                        Strided<T const> kv, Strided<T const> kr, AttentionShape const& shape) {
    constexpr auto kQueries = detail::EigenHead<T>::kQueries;
    auto const heads = shape.sequences * shape.heads;
    auto const blocks = ceil_div(shape.length_q, kQueries);
    pool.run(heads * blocks, [&](index_t task, int worker) {
        auto const begin = (blocks - 1 - task / heads) * kQueries;  // with causal, the longest first
        detail::EigenHead<T> const head{
            q, kv, kr, shape, task % heads / shape.heads, task % heads % shape.heads};
        detail::attend_by_eigen(out, lse, head, begin, std::min(begin + kQueries, shape.length_q),
                                pool.workspace(worker));
    });
}

/// See ops::attention_backward. Takes temporary memory from `scratch`, an Arena.
template <class T, class Scratch>
void attention_backward_by_eigen(Pool& pool, Scratch& scratch, Strided<T> dq, Strided<T> dkv, Strided<T> dkr,
                                 Strided<T const> dout, Strided<T const> out,
                                 Strided<accumulate_t<T> const> lse, Strided<T const> q, Strided<T const> kv,
                                 Strided<T const> kr, AttentionShape const& shape) {
    using S = accumulate_t<T>;
    auto const scope = scratch.scope();
    auto const rotary_width = shape.heads * shape.rope;
    Strided<S> const rotary{scratch.template take<S>(checked_mul(kr.rows, rotary_width)), kr.rows,
                            rotary_width, rotary_width};
    detail::EigenGradients<T> const gradients{dq, dkv, rotary, dout, out, lse};
    pool.run(shape.sequences * shape.heads, [&](index_t task, int worker) {
        detail::differentiate_by_eigen(
            gradients, detail::EigenHead<T>{q, kv, kr, shape, task / shape.heads, task % shape.heads},
            pool.workspace(worker));
    });
    constexpr index_t kRowsPerTask = 32;
    pool.run(ceil_div(kr.rows, kRowsPerTask), [&](index_t task) {
        for (auto j = task * kRowsPerTask; j < std::min(kr.rows, (task + 1) * kRowsPerTask); ++j) {
            for (index_t c = 0; c < shape.rope; ++c) {
                S sum = 0;
                for (index_t head = 0; head < shape.heads; ++head) {
                    sum += rotary.row(j)[head * shape.rope + c];
                }
                dkr.row(j)[c] = convert<T>(sum);
            }
        }
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
