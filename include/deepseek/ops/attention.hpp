// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ATTENTION_HPP
#define DEEPSEEK_OPS_ATTENTION_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/attention.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/attention.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {
namespace detail {

// The static extents of one call, from the widths of its tensors. Heads comes from lse, RopeDim from kr.
template <index_t Heads, index_t RopeDim, index_t Q, index_t KV, index_t Out>
struct AttentionWidths {
    static_assert(Q % Heads == 0 && Q / Heads > RopeDim,
                  "attention: q is not [queries, Heads * (Nope + RopeDim)]");
    static_assert(Out % Heads == 0, "attention: out is not [queries, Heads * Value]");
    static constexpr index_t nope = Q / Heads - RopeDim;
    static constexpr index_t value = Out / Heads;
    static_assert(KV == Heads * (nope + value), "attention: kv is not [keys, Heads * (Nope + Value)]");

    static AttentionShape shape(char const* op, AttentionOptions const& options, index_t queries,
                                index_t keys, index_t rotary_keys) {
        auto const sequences = options.sequences;
        expects<ShapeError>(sequences > 0 && queries % sequences == 0 && keys % sequences == 0, op, ": ",
                            queries, " queries and ", keys, " keys are not ", sequences,
                            " sequences of equal length");
        expects<ShapeError>(rotary_keys == keys, op, ": kv has ", keys, " rows, kr has ", rotary_keys);
        expects(options.dropout.rate >= 0 && options.dropout.rate < 1, op, ": dropout rate ",
                options.dropout.rate, " is outside [0, 1)");
        expects(options.first_key == nullptr || (options.causal && queries == keys), op,
                ": documents need causal attention and as many queries as keys");
        return {options, queries / sequences, keys / sequences, Heads, nope, RopeDim, value};
    }
};

}  // namespace detail

namespace ops {

/// Multi-head latent attention in its expanded form: out_h = softmax(scale · q_h · [k_nope_h | kr]ᵀ) · v_h, with one
/// rotary key for all heads. Never holds the scores of a whole head.
///
/// Within a head q is [nope | rope] and kv is [k_nope | v]; q and kr are already rotated. Rows are `sequences`
/// sequences of equal length; with causal, query i of a sequence sees keys 0 … i + (length_k - length_q), with first_key
/// those from there on. Dropout acts on the probabilities. A row that sees no key, or whose every score is -inf, gives zeros.
///
/// Shapes:    out [queries, Heads * Value]; lse [queries, Heads]; q [queries, Heads * (Nope + RopeDim)];
///            kv [keys, Heads * (Nope + Value)]; kr [keys, RopeDim]
/// Units:     lse is the natural logarithm of the sum of a row's exponentials, which backward needs; -inf where a row
///            gives zeros
/// Precision: scores, statistics and sums in accumulate_t
/// Errors:    ShapeError if the row counts do not fit together; Error on a dropout rate outside [0, 1)
/// Cost:      2 · (Nope + RopeDim + Value) operations per head, query and key seen; bitwise equal for any number of
///            threads; does not synchronise
/// Source:    DeepSeek-V3 technical report, 2.1.1; blockwise softmax: Dao et al. 2022 (FlashAttention)
template <class B, class T, class Q, class K, class R, index_t Heads, index_t RopeDim, index_t QWidth,
          index_t KVWidth, index_t OutWidth>
void attention(B& be, Rows<T, OutWidth> out, Rows<accumulate_t<T>, Heads> lse, Rows<Q, QWidth> q,
               Rows<K, KVWidth> kv, Rows<R, RopeDim> kr, AttentionOptions const& options) {
    static_assert(std::is_same_v<T, std::remove_const_t<Q>> && std::is_same_v<T, std::remove_const_t<K>> &&
                      std::is_same_v<T, std::remove_const_t<R>>,
                  "attention: out, q, kv and kr differ in type");
    auto const shape = deepseek::detail::AttentionWidths<Heads, RopeDim, QWidth, KVWidth, OutWidth>::shape(
        "attention", options, q.rows, kv.rows, kr.rows);
    expects<ShapeError>(out.rows == q.rows && lse.rows == q.rows, "attention: q has ", q.rows,
                        " rows, out has ", out.rows, ", lse has ", lse.rows);
    if (q.rows == 0) {
        return;
    }
    Strided<T const> const q_in = q.strided();
    Strided<T const> const kv_in = kv.strided();
    Strided<T const> const kr_in = kr.strided();
    call<Attention>(be, out.strided(), lse.strided(), q_in, kv_in, kr_in, shape);
}

/// The gradients of attention. The probabilities are recomputed from lse, and dropout's mask from its key: pass the
/// options of the forward call.
///
/// Shapes:    dq, dkv, dkr as q, kv, kr, overwritten; dkr is the sum over the heads; dout as out; out, lse, q, kv, kr
///            as in attention
/// Precision: scores, statistics and sums in accumulate_t
/// Errors:    ShapeError if the row counts do not fit together; Error on a dropout rate outside [0, 1)
/// Cost:      2 · (3 · (Nope + RopeDim) + 2 · Value) operations per head, query and key seen; bitwise equal for any
///            number of threads; does not synchronise
template <class B, class T, class O, class F, class L, class Q, class K, class R, index_t Heads,
          index_t RopeDim, index_t QWidth, index_t KVWidth, index_t OutWidth>
void attention_backward(B& be, Rows<T, QWidth> dq, Rows<T, KVWidth> dkv, Rows<T, RopeDim> dkr,
                        Rows<O, OutWidth> dout, Rows<F, OutWidth> out, Rows<L, Heads> lse, Rows<Q, QWidth> q,
                        Rows<K, KVWidth> kv, Rows<R, RopeDim> kr, AttentionOptions const& options) {
    static_assert(std::is_same_v<accumulate_t<T>, std::remove_const_t<L>>,
                  "attention_backward: lse is not of accumulate_t");
    auto const shape = deepseek::detail::AttentionWidths<Heads, RopeDim, QWidth, KVWidth, OutWidth>::shape(
        "attention_backward", options, q.rows, kv.rows, kr.rows);
    expects<ShapeError>(dq.rows == q.rows && dout.rows == q.rows && out.rows == q.rows && lse.rows == q.rows,
                        "attention_backward: q has ", q.rows, " rows, dq has ", dq.rows, ", dout has ",
                        dout.rows, ", out has ", out.rows, ", lse has ", lse.rows);
    expects<ShapeError>(dkv.rows == kv.rows && dkr.rows == kv.rows, "attention_backward: kv has ", kv.rows,
                        " rows, dkv has ", dkv.rows, ", dkr has ", dkr.rows);
    if (q.rows == 0 && kv.rows == 0) {
        return;
    }
    Strided<T const> const dout_in = dout.strided();
    Strided<T const> const out_in = out.strided();
    Strided<accumulate_t<T> const> const lse_in = lse.strided();
    Strided<T const> const q_in = q.strided();
    Strided<T const> const kv_in = kv.strided();
    Strided<T const> const kr_in = kr.strided();
    call<AttentionBackward>(be, dq.strided(), dkv.strided(), dkr.strided(), dout_in, out_in, lse_in, q_in,
                            kv_in, kr_in, shape);
}

}  // namespace ops
}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
