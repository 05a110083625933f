// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_LAYERS_MLA_HPP
#define DEEPSEEK_LAYERS_MLA_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/attention_shape.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/ops/attention.hpp>
#include <deepseek/ops/bias.hpp>
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
template <class Slot, index_t Dim, index_t QRank, index_t Width>
struct mla_query {
    param<Slot, QRank, Dim> q_down;
    param<Slot, QRank> q_norm;
    param<Slot, Width, QRank> q_up;
};
template <class Slot, index_t Dim, index_t Width>
struct mla_query<Slot, Dim, 0, Width> {
    param<Slot, Width, Dim> q;
};

template <class Slot, index_t QRank>
struct mla_query_bias {
    param<Slot, QRank> q_down_bias;
};

template <class Slot, index_t Dim, index_t Latent>
struct mla_biases {
    param<Slot, Latent> kv_down_bias;
    param<Slot, Dim> out_bias;
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

    template <class Slot>
    struct Params : mla_query<Slot, Dim, QRank, Heads * qk_dim>,
                    std::conditional_t<Options.bias && compressed, mla_query_bias<Slot, QRank>, Absent<1>>,
                    std::conditional_t<Options.bias, mla_biases<Slot, Dim, cache_width>, Absent<0>> {
        param<Slot, cache_width, Dim> kv_down;  // rows: latent, then the rotary key that all heads share
        param<Slot, KVRank> kv_norm;
        param<Slot, Heads*(NopeDim + ValueDim), KVRank> kv_up;  // rows per head: keys, then values
        param<Slot, Dim, Heads * ValueDim> out;
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
        auto const vector = [](std::string_view name, Init init) {
            return Info{.name = name, .init = init, .role = Role::undecayed};
        };
        if constexpr (compressed) {
            f(Info{.name = "q_a_proj.weight"}, set.q_down...);
            if constexpr (Options.bias) {
                f(vector("q_a_proj.bias", Init::zeros), set.q_down_bias...);
            }
            f(vector("q_a_layernorm.weight", Init::ones), set.q_norm...);
            f(Info{.name = "q_b_proj.weight"}, set.q_up...);
        } else {
            f(Info{.name = "q_proj.weight"}, set.q...);
        }
        f(Info{.name = "kv_a_proj_with_mqa.weight"}, set.kv_down...);
        if constexpr (Options.bias) {
            f(vector("kv_a_proj_with_mqa.bias", Init::zeros), set.kv_down_bias...);
        }
        f(vector("kv_a_layernorm.weight", Init::ones), set.kv_norm...);
        f(Info{.name = "kv_b_proj.weight"}, set.kv_up...);
        f(Info{.name = "o_proj.weight", .init = Init::scaled_normal}, set.out...);
        if constexpr (Options.bias) {
            f(vector("o_proj.bias", Init::zeros), set.out_bias...);
        }
    }

    static void forward(auto& be, Pass const& pass, auto const& p, auto x, auto y, auto& saved) {
        project(be, pass, p, x, saved);
        ops::matmul_nt(be, saved.kv, saved.normed, p.kv_up);
        ops::attention(be, saved.values, saved.log_sum_exp, saved.q, saved.kv, rotary(saved.latent),
                       attending(pass));
        ops::matmul_nt(be, y, saved.values, p.out);
        if constexpr (Options.bias) {
            ops::add_bias(be, y, p.out_bias);
        }
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

        if constexpr (Options.bias) {
            ops::bias_backward(be, g.out_bias, dy);
        }
        ops::matmul_tn(be, g.out, dy, saved.values);
        ops::matmul_nn(be, dvalues, dy, p.out);
        ops::attention_backward(be, dq, dkv, dkey, dvalues, saved.values, saved.log_sum_exp, saved.q,
                                saved.kv, rotary(saved.latent), attending(pass));
        rotate(be, pass, dq, dkey, ops::Direction::backward);

        ops::matmul_tn(be, g.kv_up, dkv, saved.normed);
        ops::matmul_nn(be, dnormed, dkv, p.kv_up);
        ops::rms_norm_backward(be, latent(dlatent), g.kv_norm, dnormed, latent(saved.latent), p.kv_norm,
                               saved.inverse_rms, ops::Write::overwrite);
        if constexpr (Options.bias) {
            ops::bias_backward(be, g.kv_down_bias, dlatent);
        }
        ops::matmul_tn(be, g.kv_down, dlatent, x);
        ops::matmul_nn(be, dx, dlatent, p.kv_down);

        if constexpr (compressed) {
            auto dq_latent = be.scratch().template rows<T, QRank>(x.rows);  // [tokens, QRank]
            ops::matmul_tn(be, g.q_up, dq, saved.q_normed);
            ops::matmul_nn(be, dq_latent, dq, p.q_up);
            ops::rms_norm_backward(be, dq_latent, g.q_norm, dq_latent, saved.q_latent, p.q_norm,
                                   saved.q_inverse_rms, ops::Write::overwrite);
            if constexpr (Options.bias) {
                ops::bias_backward(be, g.q_down_bias, dq_latent);
            }
            ops::matmul_tn(be, g.q_down, dq_latent, x);
            ops::matmul_nn(be, dx, dq_latent, p.q_down, ops::Write::add);
        } else {
            ops::matmul_tn(be, g.q, dq, x);
            ops::matmul_nn(be, dx, dq, p.q, ops::Write::add);
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
            ops::absorb_query<Heads, NopeDim, RopeDim, ValueDim>(be, q_latent, saved.q, p.kv_up);
            ops::latent_attention<Heads, NopeDim>(be, context, q_latent, saved.q, cache.latent.slice(0, keys),
                                                  cache.key.slice(0, keys), scale());
            ops::expand_values<Heads, NopeDim>(be, saved.values, context, p.kv_up);
        } else {
            auto kv = be.scratch().template rows<T, Heads*(NopeDim + ValueDim)>(keys);
            ops::matmul_nt(be, kv, cache.latent.slice(0, keys), p.kv_up);
            ops::attention(be, saved.values, saved.log_sum_exp, saved.q, kv, cache.key.slice(0, keys),
                           attending(pass));
        }
        ops::matmul_nt(be, y, saved.values, p.out);
        if constexpr (Options.bias) {
            ops::add_bias(be, y, p.out_bias);
        }
    }

private:
    // Expanding costs Heads * (NopeDim + ValueDim) * KVRank per key, once for all rows; the absorbed form costs about
    // three times the arithmetic per (row, key). They meet at a dozen rows for the published sizes.
    static constexpr index_t kAbsorbedRows = 8;

    // Queries, latents and the shared key of x, normed and rotated.
    static void project(auto& be, Pass const& pass, auto const& p, auto x, auto& saved) {
        if constexpr (compressed) {
            ops::matmul_nt(be, saved.q_latent, x, p.q_down);
            if constexpr (Options.bias) {
                ops::add_bias(be, saved.q_latent, p.q_down_bias);
            }
            ops::rms_norm(be, saved.q_normed, saved.q_latent, p.q_norm, saved.q_inverse_rms,
                          Options.latent_epsilon);
            ops::matmul_nt(be, saved.q, saved.q_normed, p.q_up);
        } else {
            ops::matmul_nt(be, saved.q, x, p.q);
        }
        ops::matmul_nt(be, saved.latent, x, p.kv_down);
        if constexpr (Options.bias) {
            ops::add_bias(be, saved.latent, p.kv_down_bias);
        }
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
