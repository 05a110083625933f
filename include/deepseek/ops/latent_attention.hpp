// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_LATENT_ATTENTION_HPP
#define DEEPSEEK_OPS_LATENT_ATTENTION_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/latent_attention.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/latent_attention.hpp>

#include <type_traits>

// The absorbed form of multi-head latent attention, for a few new tokens against a long cache. The score
// q_nope · (W_uk · latent) is taken as (q_nope · W_uk) · latent, and the values are expanded after they are averaged:
// the cache is read as it is, and all heads share it. In order: absorb_query, latent_attention, expand_values.

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// q_latent_h = q_nope_h · W_uk_h: queries that can be compared with latents.
///
/// Shapes:    q_latent [tokens, Heads * KVRank]; q [tokens, Heads * (Nope + RopeDim)], per head [nope | rope];
///            kv_up [Heads * (Nope + Value), KVRank], per head [W_uk | W_uv]
/// Precision: sums in accumulate_t of the activations; weights may be of a narrower type
/// Errors:    ShapeError if q_latent and q differ in rows
/// Cost:      reads the rows of kv_up that make keys once; does not synchronise
/// Source:    DeepSeek-V2 technical report, 2.1.2 and appendix C
template <index_t Heads, index_t Nope, index_t RopeDim, index_t Value, class B, class T, class Q, class W,
          index_t KVRank>
void absorb_query(B& be, Rows<T, Heads * KVRank> q_latent, Rows<Q, Heads*(Nope + RopeDim)> q,
                  Matrix<W, Heads*(Nope + Value), KVRank> kv_up) {
    static_assert(std::is_same_v<T, std::remove_const_t<Q>>, "absorb_query: q_latent and q differ in type");
    expects<ShapeError>(q_latent.rows == q.rows, "absorb_query: q has ", q.rows, " rows, q_latent has ",
                        q_latent.rows);
    if (q.rows == 0) {
        return;
    }
    HeadProducts const products{.tokens = q.rows,
                                .heads = Heads,
                                .in = Nope,
                                .in_stride = Nope + RopeDim,
                                .out = KVRank,
                                .out_stride = KVRank,
                                .weight_stride = Nope + Value,
                                .weight_begin = 0};
    Strided<T const> const q_in = q.strided();
    Strided<std::remove_const_t<W> const> const weight = kv_up.strided();
    call<AbsorbQuery>(be, q_latent.strided(), q_in, weight, products);
}

/// out_h = W_uv_h · context_h: averaged latents as averaged values.
///
/// Shapes:    out [tokens, Heads * Value]; context [tokens, Heads * KVRank]; kv_up as in absorb_query
/// Precision: sums in accumulate_t of the activations; weights may be of a narrower type
/// Errors:    ShapeError if out and context differ in rows
/// Cost:      reads the rows of kv_up that make values once; does not synchronise
template <index_t Heads, index_t Nope, class B, class T, class X, class W, index_t ValueWidth, index_t Up,
          index_t KVRank>
void expand_values(B& be, Rows<T, ValueWidth> out, Rows<X, Heads * KVRank> context,
                   Matrix<W, Up, KVRank> kv_up) {
    static_assert(std::is_same_v<T, std::remove_const_t<X>>, "expand_values: out and context differ in type");
    static_assert(Up == Heads * Nope + ValueWidth,
                  "expand_values: kv_up is not [Heads * (Nope + Value), KVRank]");
    expects<ShapeError>(out.rows == context.rows, "expand_values: context has ", context.rows,
                        " rows, out has ", out.rows);
    if (out.rows == 0) {
        return;
    }
    HeadProducts const products{.tokens = out.rows,
                                .heads = Heads,
                                .in = KVRank,
                                .in_stride = KVRank,
                                .out = ValueWidth / Heads,
                                .out_stride = ValueWidth / Heads,
                                .weight_stride = Up / Heads,
                                .weight_begin = Nope};
    Strided<T const> const context_in = context.strided();
    Strided<std::remove_const_t<W> const> const weight = kv_up.strided();
    call<ExpandValues>(be, out.strided(), context_in, weight, products);
}

/// Attention of the last tokens of one sequence over its latent cache, in which every head reads the same entries:
/// context_h = softmax(scale · (q_latent_h · latentᵀ + q_rope_h · keyᵀ)) · latent.
///
/// Token i of n sees entries 0 … positions - n + i. A token whose every score is -inf gives zeros.
///
/// Shapes:    context, q_latent [tokens, Heads * KVRank]; q [tokens, Heads * (Nope + RopeDim)], of which only the
///            rotary part is read; latent [positions, KVRank], normed; key [positions, RopeDim], rotated
/// Precision: scores, statistics and sums in accumulate_t of the activations; the cache may be of a narrower type
/// Errors:    ShapeError if the row counts do not fit together or there are more tokens than positions
/// Cost:      2 · (2 · KVRank + RopeDim) operations per head and entry seen; reads the cache once; bitwise equal for
///            any number of threads; does not synchronise
/// Source:    DeepSeek-V2 technical report, 2.1.2 and appendix C
template <index_t Heads, index_t Nope, class B, class T, class L, class Q, class C, class R, index_t KVRank,
          index_t QWidth, index_t RopeDim>
void latent_attention(B& be, Rows<T, Heads * KVRank> context, Rows<L, Heads * KVRank> q_latent,
                      Rows<Q, QWidth> q, Rows<C, KVRank> latent, Rows<R, RopeDim> key, double scale) {
    using Cached = std::remove_const_t<C>;
    static_assert(std::is_same_v<T, std::remove_const_t<L>> && std::is_same_v<T, std::remove_const_t<Q>>,
                  "latent_attention: context, q_latent and q differ in type");
    static_assert(std::is_same_v<Cached, std::remove_const_t<R>>,
                  "latent_attention: latent and key differ in type");
    static_assert(QWidth == Heads * (Nope + RopeDim),
                  "latent_attention: q is not [tokens, Heads * (Nope + RopeDim)]");
    expects<ShapeError>(context.rows == q.rows && q_latent.rows == q.rows, "latent_attention: q has ", q.rows,
                        " rows, q_latent has ", q_latent.rows, ", context has ", context.rows);
    expects<ShapeError>(latent.rows == key.rows, "latent_attention: the cache has ", latent.rows,
                        " latents and ", key.rows, " keys");
    expects<ShapeError>(q.rows <= latent.rows, "latent_attention: ", q.rows,
                        " tokens, but the cache has only ", latent.rows,
                        " entries, which must include theirs");
    if (q.rows == 0) {
        return;
    }
    LatentShape const shape{q.rows, latent.rows, Heads, KVRank, Nope, RopeDim, scale};
    Strided<T const> const q_latent_in = q_latent.strided();
    Strided<T const> const q_in = q.strided();
    Strided<Cached const> const latent_in = latent.strided();
    Strided<Cached const> const key_in = key.strided();
    call<LatentAttention>(be, context.strided(), q_latent_in, q_in, latent_in, key_in, shape);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
