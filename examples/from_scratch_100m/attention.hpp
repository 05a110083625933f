// SPDX-License-Identifier: MIT
#ifndef FROM_SCRATCH_ATTENTION_HPP
#define FROM_SCRATCH_ATTENTION_HPP

#include <deepseek/core/pass.hpp>
#include <deepseek/core/slot.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/layers/linear.hpp>
#include <deepseek/ops/arguments/rope.hpp>
#include <deepseek/ops/attention.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/ops/rope.hpp>
#include <deepseek/ops/rotary_table.hpp>

#include "norm.hpp"
#include "sizes.hpp"

#include <utility>

namespace from_scratch {

/// Attention over a latent, whose rotary keys every head has for itself: to the library's operation they are a part of
/// the head's own key, and the key that heads share has no width.
///
/// Shapes:    x, y [tokens, width]; kv [positions, heads * (head + rope + head)]: of every head the key, its rotary part,
///            the value
template <Sizes S>
struct Attention {
    static constexpr index_t kv_stride = S.key() + S.head();
    static constexpr index_t kv_width = S.heads * kv_stride;

    using KVProj = ds::Linear<S.width, S.kv_rank>;
    using Decompress = ds::Linear<S.kv_rank, S.width>;
    using QProj = ds::Linear<S.width, S.q_rank>;
    using QDecompress = ds::Linear<S.q_rank, S.width>;
    using KRopeProj = ds::Linear<S.width, S.heads * S.rope>;
    using QRopeProj = ds::Linear<S.q_rank, S.heads * S.rope>;
    using OProj = ds::Linear<S.width, S.width, true>;

    template <class Slot>
    struct Params {
        typename KVProj::template Params<Slot> kv_proj;
        ds::param<Slot, S.kv_rank> kv_norm;
        typename Decompress::template Params<Slot> k_decompress, v_decompress;
        typename QProj::template Params<Slot> q_proj;
        typename QDecompress::template Params<Slot> q_decompress;
        typename KRopeProj::template Params<Slot> k_rope_proj;
        typename QRopeProj::template Params<Slot> q_rope_proj;
        typename OProj::template Params<Slot> o_proj;
    };
    static constexpr void visit(auto&& f, auto&... set) {
        ds::visit_child<KVProj>("kv_proj.", -1, f, set.kv_proj...);
        f(norm_info("kv_norm.weight"), set.kv_norm...);
        ds::visit_child<Decompress>("k_decompress.", -1, f, set.k_decompress...);
        ds::visit_child<Decompress>("v_decompress.", -1, f, set.v_decompress...);
        ds::visit_child<QProj>("q_proj.", -1, f, set.q_proj...);
        ds::visit_child<QDecompress>("q_decompress.", -1, f, set.q_decompress...);
        ds::visit_child<KRopeProj>("k_rope_proj.", -1, f, set.k_rope_proj...);
        ds::visit_child<QRopeProj>("q_rope_proj.", -1, f, set.q_rope_proj...);
        ds::visit_child<OProj>("o_proj.", -1, f, set.o_proj...);
    }

    /// Writes all of y, and the last pass.length rows of every sequence's kv; those before are the tokens that this
    /// pass follows, so a pass that does not begin at 0 has one sequence.
    static void forward(auto& be, ds::Pass const& pass, auto const& p, auto x, auto y, auto kv) {
        using T = typename decltype(y)::element;
        auto const scope = be.scratch().scope();
        auto& arena = be.scratch();
        auto latent = arena.template rows<T, S.kv_rank>(x.rows);               // [tokens, kv_rank]
        auto q_latent = arena.template rows<T, S.q_rank>(x.rows);              // [tokens, q_rank]
        auto q = arena.template rows<T, S.heads * S.key()>(x.rows);            // as kv, without values
        auto values = arena.template rows<T, S.width>(x.rows);                 // [tokens, heads * head]
        auto lse = arena.template rows<ds::accumulate_t<T>, S.heads>(x.rows);  // [tokens, heads]
        auto own = kv.slice(pass.position, x.rows);

        KVProj::forward(be, p.kv_proj, x, latent);
        norm(be, latent, latent, p.kv_norm);
        project_heads<kv_stride, 0, S.head()>(be, own, latent, p.k_decompress.weight);
        project_heads<kv_stride, S.head(), S.rope>(be, own, x, p.k_rope_proj.weight);
        project_heads<kv_stride, S.key(), S.head()>(be, own, latent, p.v_decompress.weight);
        QProj::forward(be, p.q_proj, x, q_latent);  // no norm on this latent
        project_heads<S.key(), 0, S.head()>(be, q, q_latent, p.q_decompress.weight);
        project_heads<S.key(), S.head(), S.rope>(be, q, q_latent, p.q_rope_proj.weight);

        static constexpr ds::ops::RotaryTable<S.rope> table{ds::Rope{.theta = 10'000, .interleaved = false}};
        ds::ops::rotate<S.heads, kv_stride, S.head()>(be, own, table, pass.length, pass.position);
        ds::ops::rotate<S.heads, S.key(), S.head()>(be, q, table, pass.length, pass.position);

        ds::Rows<T, 0> const shared_key{nullptr, kv.rows};
        ds::ops::attention(be, values, lse, q, kv, shared_key,
                           {.sequences = pass.sequences, .scale = ds::ops::softmax_scale(S.key(), {})});
        OProj::forward(be, p.o_proj, values, y);
    }

private:
    // Columns [Begin, Begin + Width) of every head of `out` = x · (that head's rows of `weight`)ᵀ.
    template <index_t Stride, index_t Begin, index_t Width>
    static void project_heads(auto& be, auto out, auto x, auto weight) {
        [&]<index_t... H>(std::integer_sequence<index_t, H...>) {
            (ds::ops::matmul_nt(be, out.template columns<H * Stride + Begin, Width>(), x,
                                weight.template slice<H * Width, Width>()),
             ...);
        }
        (std::make_integer_sequence<index_t, S.heads>{});
    }
};

}  // namespace from_scratch

#endif
