// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_LAYERS_MLA_HPP
#define DEEPSEEK_LAYERS_MLA_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/layers/linear.hpp>
#include <deepseek/ops/arguments/attention.hpp>
#include <deepseek/ops/attention.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/latent_attention.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/ops/rms_norm.hpp>
#include <deepseek/ops/rope.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

/// What real files vary in their attention. Scalars only.
struct MLAOptions {
    Rope rope{};
    double latent_epsilon = 1e-6;  ///< of the two latent norms; independent of the model's norm_epsilon
    bool bias = false;  ///< biases on the down projections and the output (config.json: attention_bias)
};

namespace detail {

// The query: compressed through a latent of its own, or projected directly.
template <class Slot, index_t Dim, index_t QRank, index_t Width, bool Bias>
struct mla_query {
    typename Linear<Dim, QRank, Bias>::template Params<Slot> q_down;
    param<Slot, QRank> q_norm;
    typename Linear<QRank, Width>::template Params<Slot> q_up;
};
template <class Slot, index_t Dim, index_t Width, bool Bias>
struct mla_query<Slot, Dim, 0, Width, Bias> {
    typename Linear<Dim, Width>::template Params<Slot> q;
};

template <index_t Dim, index_t Heads, index_t KVRank, index_t QRank, index_t RopeDim, index_t NopeDim,
          index_t ValueDim, MLAOptions Options>
struct mla_layer {
    static constexpr index_t width = Dim;
    static constexpr index_t heads = Heads;
    static constexpr index_t kv_rank = KVRank;
    static constexpr index_t q_rank = QRank;
    static constexpr index_t rope_dim = RopeDim;
    static constexpr index_t nope_dim = NopeDim;
    static constexpr index_t value_dim = ValueDim;
    static constexpr MLAOptions options = Options;

    static constexpr index_t qk_dim = NopeDim + RopeDim;
    static constexpr index_t cache_width = KVRank + RopeDim;  // values kept per token while generating
    static constexpr bool compressed = QRank > 0;             // the query passes through a latent

    using Q = Linear<Dim, Heads * qk_dim>;  // without compression, else:
    using QDown = Linear<Dim, compressed ? QRank : 1, Options.bias>;
    using QUp = Linear<compressed ? QRank : 1, Heads * qk_dim>;
    using KVDown =
        Linear<Dim, cache_width, Options.bias>;  // to the latent, and the rotary key that all heads share
    using KVUp = Linear<KVRank, Heads*(NopeDim + ValueDim)>;  // to every head's keys, then values
    using Out = Linear<Heads * ValueDim, Dim, Options.bias, Init::scaled_normal>;

    template <class Slot>
    struct Params : mla_query<Slot, Dim, QRank, Heads * qk_dim, Options.bias> {
        typename KVDown::template Params<Slot> kv_down;
        param<Slot, KVRank> kv_norm;
        typename KVUp::template Params<Slot> kv_up;
        typename Out::template Params<Slot> out;
    };
    template <class Slot>
    struct Saved {
        rows<Slot, compressed ? QRank : 1> q_latent, q_normed;
        rows<Slot, 1, wide> q_inverse_rms;
        rows<Slot, Heads * qk_dim> q;    // rotated
        rows<Slot, cache_width> latent;  // latent | rotated shared key
        rows<Slot, KVRank> normed;
        rows<Slot, 1, wide> inverse_rms;
        rows<Slot, Heads*(NopeDim + ValueDim)> kv;
        rows<Slot, Heads * ValueDim> values;  // attention's output
        rows<Slot, Heads, wide> log_sum_exp;
    };
    template <class Slot>
    struct Cache {
        cached<Slot, KVRank> latent;  // normed
        cached<Slot, RopeDim> key;    // rotated
    };

    static constexpr void visit(auto&& f, auto&... set) {
        auto const norm = [](std::string_view name) {
            return Info{.name = name, .init = Init::ones, .role = Role::undecayed};
        };
        if constexpr (compressed) {
            visit_child<QDown>("q_a_proj.", -1, f, set.q_down...);
            f(norm("q_a_layernorm.weight"), set.q_norm...);
            visit_child<QUp>("q_b_proj.", -1, f, set.q_up...);
        } else {
            visit_child<Q>("q_proj.", -1, f, set.q...);
        }
        visit_child<KVDown>("kv_a_proj_with_mqa.", -1, f, set.kv_down...);
        f(norm("kv_a_layernorm.weight"), set.kv_norm...);
        visit_child<KVUp>("kv_b_proj.", -1, f, set.kv_up...);
        visit_child<Out>("o_proj.", -1, f, set.out...);
    }

    static void forward(auto& be, Pass const& pass, auto const& p, auto x, auto y, auto& saved) {
        project(be, pass, p, x, saved);
        KVUp::forward(be, p.kv_up, saved.normed, saved.kv);
        ops::attention(be, saved.values, saved.log_sum_exp, saved.q, saved.kv, rotary(saved.latent),
                       attending(pass));
        Out::forward(be, p.out, saved.values, y);
    }

    static void backward(auto& be, Pass const& pass, auto const& p, auto x, auto& saved, auto dy, auto dx,
                         auto& g) {
        using T = typename decltype(dx)::element;
        auto const scope = be.scratch().scope();
        auto dvalues = be.scratch().template rows<T, Heads * ValueDim>(x.rows);  // [tokens, Heads * ValueDim]
        auto dq = be.scratch().template rows<T, Heads * qk_dim>(x.rows);         // [tokens, Heads * qk_dim]
        auto dkv = be.scratch().template rows<T, Heads*(NopeDim + ValueDim)>(x.rows);  // as kv
        auto dlatent = be.scratch().template rows<T, cache_width>(x.rows);             // latent | shared key
        auto dnormed = be.scratch().template rows<T, KVRank>(x.rows);                  // [tokens, KVRank]
        auto dkey = rotary(dlatent);                                                   // [tokens, RopeDim]

        Out::backward(be, p.out, saved.values, dy, dvalues, g.out);
        ops::attention_backward(be, dq, dkv, dkey, dvalues, saved.values, saved.log_sum_exp, saved.q,
                                saved.kv, rotary(saved.latent), attending(pass));
        rotate(be, pass, dq, dkey, ops::Direction::backward);

        KVUp::backward(be, p.kv_up, saved.normed, dkv, dnormed, g.kv_up);
        ops::rms_norm_backward(be, latent(dlatent), g.kv_norm, dnormed, latent(saved.latent), p.kv_norm,
                               saved.inverse_rms, ops::Write::overwrite);
        KVDown::backward(be, p.kv_down, x, dlatent, dx, g.kv_down);

        if constexpr (compressed) {
            auto dq_latent = be.scratch().template rows<T, QRank>(x.rows);  // [tokens, QRank]
            QUp::backward(be, p.q_up, saved.q_normed, dq, dq_latent, g.q_up);
            ops::rms_norm_backward(be, dq_latent, g.q_norm, dq_latent, saved.q_latent, p.q_norm,
                                   saved.q_inverse_rms, ops::Write::overwrite);
            QDown::backward(be, p.q_down, x, dq_latent, dx, g.q_down, ops::Write::add);
        } else {
            Q::backward(be, p.q, x, dq, dx, g.q, ops::Write::add);
        }
    }

    /// Appends the rows of x to the cache at pass.position and attends to all of it; one sequence.
    ///
    /// A few rows use the absorbed form, which reads the latent cache as it is; many rows expand keys and values first,
    /// as in training, which costs less arithmetic per row.
    ///
    /// Shapes:    x, y [tokens, Dim]; the cache holds at least pass.position + tokens rows
    static void extend(auto& be, Pass const& pass, auto const& p, auto x, auto y, auto& cache) {
        using T = typename decltype(y)::element;
        auto const scope = be.scratch().scope();
        auto const keys = pass.position + x.rows;
        auto saved = take_set<Saved, T>(be.scratch(), x.rows);
        project(be, pass, p, x, saved);
        ops::copy(be, cache.latent.slice(pass.position, x.rows), saved.normed);
        ops::copy(be, cache.key.slice(pass.position, x.rows), rotary(saved.latent));

        if (x.rows <= kAbsorbedRows) {
            auto q_latent = be.scratch().template rows<T, Heads * KVRank>(x.rows);  // q_nope · W_uk
            auto context = be.scratch().template rows<T, Heads * KVRank>(x.rows);   // attention over latents
            ops::absorb_query<Heads, NopeDim, RopeDim, ValueDim>(be, q_latent, saved.q, p.kv_up.weight);
            ops::latent_attention<Heads, NopeDim>(be, context, q_latent, saved.q, cache.latent.slice(0, keys),
                                                  cache.key.slice(0, keys), scale());
            ops::expand_values<Heads, NopeDim>(be, saved.values, context, p.kv_up.weight);
        } else {
            auto kv = be.scratch().template rows<T, Heads*(NopeDim + ValueDim)>(keys);
            KVUp::forward(be, p.kv_up, cache.latent.slice(0, keys), kv);
            ops::attention(be, saved.values, saved.log_sum_exp, saved.q, kv, cache.key.slice(0, keys),
                           attending(pass));
        }
        Out::forward(be, p.out, saved.values, y);
    }

private:
    // Expanding costs Heads * (NopeDim + ValueDim) * KVRank per key, once for all rows; the absorbed form costs about
    // three times the arithmetic per (row, key). They meet at a dozen rows for the published sizes.
    static constexpr index_t kAbsorbedRows = 8;

    // Queries, latents and the shared key of x, normed and rotated.
    static void project(auto& be, Pass const& pass, auto const& p, auto x, auto& saved) {
        if constexpr (compressed) {
            QDown::forward(be, p.q_down, x, saved.q_latent);
            ops::rms_norm(be, saved.q_normed, saved.q_latent, p.q_norm, saved.q_inverse_rms,
                          Options.latent_epsilon);
            QUp::forward(be, p.q_up, saved.q_normed, saved.q);
        } else {
            Q::forward(be, p.q, x, saved.q);
        }
        KVDown::forward(be, p.kv_down, x, saved.latent);
        ops::rms_norm(be, saved.normed, latent(saved.latent), p.kv_norm, saved.inverse_rms,
                      Options.latent_epsilon);
        rotate(be, pass, saved.q, rotary(saved.latent), ops::Direction::forward);
    }

    // Rotates the rotary part of every head's query, and the shared key.
    static void rotate(auto& be, Pass const& pass, auto q, auto key, ops::Direction direction) {
        static constexpr ops::RotaryTable<RopeDim> table{Options.rope};
        ops::rotate<Heads, qk_dim, NopeDim>(be, q, table, pass.length, pass.position, direction,
                                            pass.document_starts);
        ops::rotate<1, RopeDim, 0>(be, key, table, pass.length, pass.position, direction,
                                   pass.document_starts);
    }

    static auto latent(auto both) { return both.template columns<0, KVRank>(); }
    static auto rotary(auto both) { return both.template columns<KVRank, RopeDim>(); }

    static double scale() { return ops::softmax_scale(qk_dim, Options.rope); }

    static AttentionOptions attending(Pass const& pass) {
        return {.sequences = pass.sequences,
                .scale = scale(),
                .dropout = {pass.attention_dropout, pass.random},
                .first_key = pass.document_starts};
    }
};
static_assert(every_member_visited<mla_layer<16, 2, 4, 6, 2, 4, 4, MLAOptions{}>>());
static_assert(every_member_visited<mla_layer<16, 2, 4, 6, 2, 4, 4, MLAOptions{.bias = true}>>());
static_assert(every_member_visited<mla_layer<16, 2, 4, 0, 2, 4, 4, MLAOptions{.bias = true}>>());

// Of the default head; a refused number of heads must not divide.
constexpr index_t head_width(index_t dim, index_t heads) { return heads > 0 ? dim / heads : 2; }

template <index_t Dim, index_t Heads, index_t KVRank, index_t QRank, index_t RopeDim, index_t NopeDim,
          index_t ValueDim>
struct mla_rules {
    static constexpr bool positive =
        Dim > 0 && Heads > 0 && KVRank > 0 && QRank >= 0 && RopeDim > 0 && NopeDim > 0 && ValueDim > 0;
    static constexpr bool even = !positive || RopeDim % 2 == 0;
    static constexpr bool compresses = !positive || (KVRank <= Dim && QRank <= Dim);
    static constexpr bool ok = positive && even && compresses;
};

}  // namespace detail

/// Multi-head latent attention: keys and values are expanded from one small latent per token, which is all that
/// generation has to remember, together with a rotary key that all heads share.
///
/// Dim is the width of the model, KVRank that of the latent, QRank that of the query's own latent (0: none). A head's
/// query and key have a rotated part of RopeDim and an unrotated one of NopeDim, its values have ValueDim.
///
/// Shapes:    x, y [tokens, Dim]; cache [positions, KVRank + RopeDim]
/// Precision: softmax statistics and norms in accumulate_t
/// Source:    DeepSeek-V3 technical report, 2.1.1; DeepSeek-V2, 2.1 (absorbed form)
template <index_t Dim, index_t Heads, index_t KVRank, index_t QRank = 0,
          index_t RopeDim = detail::head_width(Dim, Heads) / 2,
          index_t NopeDim = detail::head_width(Dim, Heads), index_t ValueDim = NopeDim,
          MLAOptions Options = MLAOptions{}>
struct MLA : std::conditional_t<detail::mla_rules<Dim, Heads, KVRank, QRank, RopeDim, NopeDim, ValueDim>::ok,
                                std::type_identity<detail::mla_layer<Dim, Heads, KVRank, QRank, RopeDim,
                                                                     NopeDim, ValueDim, Options>>,
                                std::type_identity<detail::Refused>>::type {
private:
    using rules = detail::mla_rules<Dim, Heads, KVRank, QRank, RopeDim, NopeDim, ValueDim>;
    static_assert(rules::positive,
                  "MLA<Dim, Heads, KVRank, QRank>: Dim, Heads and KVRank must be positive; QRank 0 means an "
                  "uncompressed query");
    static_assert(rules::even,
                  "MLA<Dim, Heads, KVRank, QRank, RopeDim>: RopeDim must be even, it is rotated in pairs");
    static_assert(
        rules::compresses,
        "MLA<Dim, Heads, KVRank, QRank>: KVRank and QRank must not exceed Dim; they are widths of compressed "
        "latents");
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
