// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_ATTENTION_HPP
#define DEEPSEEK_OPS_REFERENCE_ATTENTION_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/portable.hpp>
#include <deepseek/ops/arguments/attention.hpp>

#include <cmath>

// Attention row by row. Every call of a functor owns what it writes, so no order of calls changes a bit.
// Nothing is kept between the passes of a row: a probability is computed again wherever it is needed.

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// What forward and backward read: one score, one probability.
template <class T>
struct AttentionInputs {
    using Sum = accumulate_t<T>;

    Strided<T const> q;
    Strided<T const> kv;
    Strided<T const> kr;
    AttentionShape shape;

    /// A row of all heads, by query or by key.
    struct Place {
        index_t sequence;
        index_t within;
    };
    DEEPSEEK_HD Place query(index_t row) const { return {row / shape.length_q, row % shape.length_q}; }
    DEEPSEEK_HD Place key(index_t row) const { return {row / shape.length_k, row % shape.length_k}; }

    DEEPSEEK_HD index_t query_row(index_t sequence, index_t i) const { return sequence * shape.length_q + i; }
    DEEPSEEK_HD index_t key_row(index_t sequence, index_t j) const { return sequence * shape.length_k + j; }

    /// The first key, in its sequence, that a query sees.
    DEEPSEEK_HD index_t first_key(index_t query_row) const {
        return shape.first_key == nullptr ? 0 : index_t{shape.first_key[query_row]};
    }

    /// [nope | rope] of one head
    DEEPSEEK_HD T const* query_head(index_t row, index_t head) const {
        return q.row(row) + head * shape.key_width();
    }
    /// [k_nope | v] of one head
    DEEPSEEK_HD T const* key_head(index_t row, index_t head) const {
        return kv.row(row) + head * (shape.nope + shape.value);
    }

    DEEPSEEK_HD Sum score(index_t query_row, index_t key_row, index_t head) const {
        auto const* const query = query_head(query_row, head);
        auto const* const nope = key_head(key_row, head);
        auto const* const rope = kr.row(key_row);
        Sum sum = 0;
        for (index_t c = 0; c < shape.nope; ++c) {
            sum += convert<Sum>(query[c]) * convert<Sum>(nope[c]);
        }
        for (index_t c = 0; c < shape.rope; ++c) {
            sum += convert<Sum>(query[shape.nope + c]) * convert<Sum>(rope[c]);
        }
        return sum * static_cast<Sum>(shape.scale);
    }

    /// 0 for a row that saw nothing, whose lse is -inf.
    DEEPSEEK_HD Sum probability(index_t query_row, index_t key_row, index_t head, Sum lse) const {
        constexpr Sum kNothing = -detail::kInfinity<Sum>;
        return lse == kNothing ? Sum{0} : std::exp(score(query_row, key_row, head) - lse);
    }

    /// What dropout multiplies that probability by.
    DEEPSEEK_HD Sum kept(index_t sequence, index_t head, index_t i, index_t j) const {
        return shape.dropout.active()
                   ? shape.dropout.template factor<Sum>(shape.probability(sequence, head, i, j))
                   : Sum{1};
    }
};

/// One call per query and head.
template <class T>
struct AttentionForward {
    using Sum = accumulate_t<T>;

    AttentionInputs<T> in;
    Strided<T> out;
    Strided<Sum> lse;
    Sum* sums;  ///< [queries, heads * value]: out before it is rounded to T

    DEEPSEEK_HD void operator()(index_t call) const {
        auto const& shape = in.shape;
        auto const row = call / shape.heads;
        auto const head = call % shape.heads;
        auto const [sequence, i] = in.query(row);
        auto const visible = shape.visible(i);

        constexpr Sum kNothing = -detail::kInfinity<Sum>;
        Sum largest = kNothing;
        Sum total = 0;  // of exp(score - largest)
        for (auto j = in.first_key(row); j < visible; ++j) {
            auto const score = in.score(row, in.key_row(sequence, j), head);
            if (score > largest) {
                total = total * std::exp(largest - score) + 1;
                largest = score;
            } else if (score != kNothing) {  // which counts as not seen; -inf less -inf would be NaN
                total += std::exp(score - largest);
            }
        }
        auto const log_sum_exp = total == 0 ? kNothing : largest + std::log(total);
        lse.row(row)[head] = log_sum_exp;

        auto* const sum = sums + call * shape.value;  // [value]
        for (index_t c = 0; c < shape.value; ++c) {
            sum[c] = 0;
        }
        for (auto j = in.first_key(row); j < visible; ++j) {
            auto const key = in.key_row(sequence, j);
            auto const weight = in.probability(row, key, head, log_sum_exp) * in.kept(sequence, head, i, j);
            auto const* const value = in.key_head(key, head) + shape.nope;
            for (index_t c = 0; c < shape.value; ++c) {
                sum[c] += weight * convert<Sum>(value[c]);
            }
        }
        for (index_t c = 0; c < shape.value; ++c) {
            out.row(row)[head * shape.value + c] = convert<T>(sum[c]);
        }
    }
};

/// The gradient of one score: p · (dp · kept - delta), where dp = dout · v is the gradient of a kept probability and
/// delta = dout · out is what normalising the row takes off each.
template <class T>
struct ScoreGradient {
    using Sum = accumulate_t<T>;

    AttentionInputs<T> in;
    Strided<T const> dout;
    Strided<T const> out;
    Strided<Sum const> lse;

    struct Result {
        Sum score;   ///< gradient of the scaled score
        Sum weight;  ///< the probability after dropout
    };

    DEEPSEEK_HD static Sum dot(T const* a, T const* b, index_t count) {
        Sum sum = 0;
        for (index_t c = 0; c < count; ++c) {
            sum += convert<Sum>(a[c]) * convert<Sum>(b[c]);
        }
        return sum;
    }
    DEEPSEEK_HD Sum delta(index_t row, index_t head) const {
        auto const at = head * in.shape.value;
        return dot(dout.row(row) + at, out.row(row) + at, in.shape.value);
    }
    DEEPSEEK_HD Result at(index_t sequence, index_t head, index_t i, index_t j, Sum delta) const {
        auto const row = in.query_row(sequence, i);
        auto const key = in.key_row(sequence, j);
        auto const p = in.probability(row, key, head, lse.row(row)[head]);
        auto const kept = in.kept(sequence, head, i, j);
        auto const dp = dot(dout.row(row) + head * in.shape.value, in.key_head(key, head) + in.shape.nope,
                            in.shape.value);
        return {p * (dp * kept - delta), p * kept};
    }
};

/// One call per query and head.
template <class T>
struct AttentionQueryGradient {
    using Sum = accumulate_t<T>;

    ScoreGradient<T> gradient;
    Strided<T> dq;
    Sum* sums;  ///< [queries, heads * (nope + rope)]: dq before it is rounded to T

    DEEPSEEK_HD void operator()(index_t call) const {
        auto const& in = gradient.in;
        auto const& shape = in.shape;
        auto const row = call / shape.heads;
        auto const head = call % shape.heads;
        auto const [sequence, i] = in.query(row);
        auto const delta = gradient.delta(row, head);

        auto* const sum = sums + call * shape.key_width();  // [nope | rope]
        for (index_t c = 0; c < shape.key_width(); ++c) {
            sum[c] = 0;
        }
        for (auto j = in.first_key(row); j < shape.visible(i); ++j) {
            auto const key = in.key_row(sequence, j);
            auto const ds = gradient.at(sequence, head, i, j, delta).score;
            for (index_t c = 0; c < shape.nope; ++c) {
                sum[c] += ds * convert<Sum>(in.key_head(key, head)[c]);
            }
            for (index_t c = 0; c < shape.rope; ++c) {
                sum[shape.nope + c] += ds * convert<Sum>(in.kr.row(key)[c]);
            }
        }
        for (index_t c = 0; c < shape.key_width(); ++c) {
            dq.row(row)[head * shape.key_width() + c] = convert<T>(sum[c] * static_cast<Sum>(shape.scale));
        }
    }
};

/// One call per key and head.
template <class T>
struct AttentionKeyGradient {
    using Sum = accumulate_t<T>;

    ScoreGradient<T> gradient;
    Strided<T> dkv;
    Sum* sums;  ///< [keys, heads, nope | value | rope]: dkv before it is rounded to T; the head's part of dkr

    DEEPSEEK_HD void operator()(index_t call) const {
        auto const& in = gradient.in;
        auto const& shape = in.shape;
        auto const key = call / shape.heads;
        auto const head = call % shape.heads;
        auto const [sequence, j] = in.key(key);
        auto const own = shape.nope + shape.value;

        auto* const sum = sums + call * (own + shape.rope);
        for (index_t c = 0; c < own + shape.rope; ++c) {
            sum[c] = 0;
        }
        for (index_t i = shape.first_query(j); i < shape.length_q; ++i) {
            auto const row = in.query_row(sequence, i);
            if (in.first_key(row) > j) {
                break;  // a later document, and so are all behind it
            }
            auto const [ds, weight] = gradient.at(sequence, head, i, j, gradient.delta(row, head));
            auto const* const query = in.query_head(row, head);
            auto const* const dvalue = gradient.dout.row(row) + head * shape.value;
            for (index_t c = 0; c < shape.nope; ++c) {
                sum[c] += ds * convert<Sum>(query[c]);
            }
            for (index_t c = 0; c < shape.value; ++c) {
                sum[shape.nope + c] += weight * convert<Sum>(dvalue[c]);
            }
            for (index_t c = 0; c < shape.rope; ++c) {
                sum[own + c] += ds * convert<Sum>(query[shape.nope + c]);
            }
        }
        auto const scale = static_cast<Sum>(shape.scale);
        for (index_t c = 0; c < own; ++c) {
            dkv.row(key)[head * own + c] = convert<T>(c < shape.nope ? sum[c] * scale : sum[c]);
        }
    }
};

/// One call per key: adds up what its heads gave the rotary key they share.
template <class T>
struct AttentionRotaryGradient {
    using Sum = accumulate_t<T>;

    Strided<T> dkr;
    Sum const* sums;  ///< of AttentionKeyGradient
    AttentionShape shape;

    DEEPSEEK_HD void operator()(index_t key) const {
        auto const own = shape.nope + shape.value;
        for (index_t c = 0; c < shape.rope; ++c) {
            Sum sum = 0;
            for (index_t head = 0; head < shape.heads; ++head) {
                sum += sums[(key * shape.heads + head) * (own + shape.rope) + own + c];
            }
            dkr.row(key)[c] = convert<T>(sum * static_cast<Sum>(shape.scale));
        }
    }
};

}  // namespace loop

template <class B, class T>
void reference(Attention, B& be, Strided<T> out, Strided<accumulate_t<T>> lse, Strided<T const> q,
               Strided<T const> kv, Strided<T const> kr, AttentionShape const& shape) {
    auto const scope = be.scratch().scope();
    auto* const sums =
        be.scratch().template take<accumulate_t<T>>(checked_mul(q.rows, shape.heads * shape.value));
    be.for_each(q.rows * shape.heads, shape.length_k * (2 * shape.key_width() + shape.value),
                loop::AttentionForward<T>{{q, kv, kr, shape}, out, lse, sums});
}

template <class B, class T>
void reference(AttentionBackward, B& be, Strided<T> dq, Strided<T> dkv, Strided<T> dkr, Strided<T const> dout,
               Strided<T const> out, Strided<accumulate_t<T> const> lse, Strided<T const> q,
               Strided<T const> kv, Strided<T const> kr, AttentionShape const& shape) {
    using Sum = accumulate_t<T>;
    auto const scope = be.scratch().scope();
    auto const key_sums = shape.nope + shape.value + shape.rope;
    auto* const query_sums =
        be.scratch().template take<Sum>(checked_mul(q.rows, shape.heads * shape.key_width()));
    auto* const sums = be.scratch().template take<Sum>(checked_mul(kv.rows, shape.heads * key_sums));
    auto const cost = 2 * (shape.key_width() + shape.value);
    loop::ScoreGradient<T> const gradient{{q, kv, kr, shape}, dout, out, lse};
    be.for_each(q.rows * shape.heads, shape.length_k * cost,
                loop::AttentionQueryGradient<T>{gradient, dq, query_sums});
    be.for_each(kv.rows * shape.heads, shape.length_q * cost,
                loop::AttentionKeyGradient<T>{gradient, dkv, sums});
    be.for_each(kv.rows, shape.heads * shape.rope, loop::AttentionRotaryGradient<T>{dkr, sums, shape});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
