// SPDX-License-Identifier: MIT
#ifndef FROM_SCRATCH_MODEL_HPP
#define FROM_SCRATCH_MODEL_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/model_options.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/core/slot.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/layers/linear.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/embedding.hpp>
#include <deepseek/ops/head_loss.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/ops/reduce.hpp>
#include <deepseek/ops/shift.hpp>

#include "attention.hpp"
#include "experts.hpp"
#include "norm.hpp"
#include "sizes.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace from_scratch {

/// Functor of ops::transform: a + b.
struct Sum {
    template <class T, class U>
    DEEPSEEK_HD T operator()(T a, U b) const {
        return a + static_cast<T>(b);
    }
};

/// A decoder block: x += attention(norm(x)), then the same with the experts.
template <Sizes S>
struct Block {
    template <class Slot>
    struct Params {
        ds::param<Slot, S.width> attention_norm;
        typename Attention<S>::template Params<Slot> attention;
        ds::param<Slot, S.width> experts_norm;
        typename Experts<S>::template Params<Slot> experts;
    };
    /// With the names of its norms, which differ between the model's blocks and those of its MTP heads.
    static constexpr void visit_named(std::string_view attention_norm, std::string_view experts_norm,
                                      auto&& f, auto&... set) {
        f(norm_info(attention_norm), set.attention_norm...);
        ds::visit_child<Attention<S>>("attn.", -1, f, set.attention...);
        f(norm_info(experts_norm), set.experts_norm...);
        ds::visit_child<Experts<S>>("mlp.", -1, f, set.experts...);
    }
    static constexpr void visit(auto&& f, auto&... set) {
        visit_named("ln_1.weight", "ln_2.weight", f, set...);
    }

    /// x is input and output; kv as Attention says.
    static void forward(auto& be, ds::Pass const& pass, auto const& p, auto x, auto kv) {
        using T = typename decltype(x)::element;
        auto const scope = be.scratch().scope();
        auto normed = be.scratch().template rows<T, S.width>(x.rows);  // [tokens, width]
        auto added = be.scratch().template rows<T, S.width>(x.rows);   // [tokens, width]
        norm(be, normed, x, p.attention_norm);
        Attention<S>::forward(be, pass, p.attention, normed, added, kv);
        ds::ops::accumulate(be, x, added);
        norm(be, normed, x, p.experts_norm);
        Experts<S>::forward(be, p.experts, normed, added);
        ds::ops::accumulate(be, x, added);
    }
};

/// Joins the hidden state of every position with the embedding of a token further on, and is a block behind that.
template <Sizes S>
struct MtpHead {
    using Combine = ds::Linear<2 * S.width, S.width, true>;

    template <class Slot>
    struct Params {
        typename Combine::template Params<Slot> combine;
        ds::param<Slot, S.width> hidden_norm, embedding_norm;
        typename Block<S>::template Params<Slot> block;
    };
    static constexpr void visit(auto&& f, auto&... set) {
        ds::visit_child<Combine>("combine_proj.", -1, f, set.combine...);
        f(norm_info("norm1.weight"), set.hidden_norm...);
        f(norm_info("norm2.weight"), set.embedding_norm...);
        Block<S>::visit_named("attn_norm.weight", "mlp_norm.weight", f, set.block...);
    }

    /// Writes all of y; uses hidden and embedded up.
    static void forward(auto& be, ds::Pass const& pass, auto const& p, auto hidden, auto embedded, auto y,
                        auto kv) {
        using T = typename decltype(y)::element;
        auto const scope = be.scratch().scope();
        auto both = be.scratch().template rows<T, 2 * S.width>(y.rows);  // [tokens, hidden | embedding]
        norm(be, both.template columns<0, S.width>(), hidden, p.hidden_norm);
        norm(be, both.template columns<S.width, S.width>(), embedded, p.embedding_norm);
        Combine::forward(be, p.combine, both, y);
        Block<S>::forward(be, pass, p.block, y, kv);
    }
};

/// The whole model. It has the members that the library's Weights, TensorLoader, evaluate and Session ask of one; it is
/// trained where it comes from, so it has no backward pass.
template <Sizes S>
struct Model {
    static constexpr index_t vocabulary = S.vocabulary;
    static constexpr index_t width = S.width;
    static constexpr index_t layers = S.layers;
    static constexpr int mtp_depth = S.mtp_heads;
    static constexpr ds::ModelOptions options{.tied_head = true, .context = S.context};
    static constexpr std::size_t depth = static_cast<std::size_t>(mtp_depth);

    template <class Slot>
    struct Params {
        ds::param<Slot, vocabulary, width> tokens;
        ds::param<Slot, S.context, width> positions;
        std::array<typename Block<S>::template Params<Slot>, layers> blocks;
        ds::param<Slot, width> norm;
        std::array<typename MtpHead<S>::template Params<Slot>, depth> mtp;
    };
    /// Names are those of the project's files.
    static constexpr void visit(auto&& f, auto&... set) {
        f(ds::Info{.name = "wte.weight"}, set.tokens...);
        f(ds::Info{.name = "wpe.weight"}, set.positions...);
        for (std::size_t i = 0; i != layers; ++i) {
            ds::visit_child<Block<S>>("h.", static_cast<index_t>(i), f, set.blocks[i]...);
        }
        f(norm_info("ln_f.weight"), set.norm...);
        for (std::size_t k = 0; k != depth; ++k) {
            ds::visit_child<MtpHead<S>>("mtp_heads.", static_cast<index_t>(k), f, set.mtp[k]...);
        }
    }

    /// What the heads see: of the model and of every MTP head, which has one row per sequence less than that before it.
    template <class T>
    struct Tape {
        ds::Pass pass;
        std::array<ds::Rows<T, width>, depth + 1> outputs{};
        std::array<ds::Token*, depth + 1> targets{};  // [k]: of the rows of outputs[k] that have one
    };

    /// Shapes:    batch [pass.sequences, pass.length]
    /// Errors:    ShapeError if the batch is not of the pass's extents or its sequences are longer than the context or
    ///            too short for the MTP heads' targets; Error if an id is outside the vocabulary, or a target is ignored
    template <class T, class B>
    static Tape<T> forward(B& be, ds::Pass const& pass, ds::viewed_params<Model, T const> const& p,
                           ds::Batch const& batch, ds::Arena<B>& arena) {
        check(pass, batch);
        Tape<T> tape{.pass = pass};
        auto const bytes = pass.rows() * static_cast<index_t>(sizeof(ds::Token));
        auto* const tokens = arena.template take<ds::Token>(pass.rows());
        be.copy_from_host(tokens, batch.tokens.data(), bytes);
        tape.targets[0] = arena.template take<ds::Token>(pass.rows());
        be.copy_from_host(tape.targets[0], batch.targets.data(), bytes);
        for (auto& output : tape.outputs) {
            output = arena.template rows<T, width>(pass.rows());
        }

        auto const scope = be.scratch().scope();
        auto kv =
            be.scratch().template rows<T, Attention<S>::kv_width>(pass.rows());  // of each block in turn
        embed(be, pass, p, tape.outputs[0], tokens);
        for (auto const& block : p.blocks) {
            Block<S>::forward(be, pass, block, tape.outputs[0], kv);
        }
        norm(be, tape.outputs[0], tape.outputs[0], p.norm);

        // Head k joins row i with token i + k; rows that have no such token are seen by none that has a target.
        auto shorter = pass;
        auto* const shifted = be.scratch().template take<ds::Token>(pass.rows());
        auto hidden = be.scratch().template rows<T, width>(pass.rows());
        auto embedded = be.scratch().template rows<T, width>(pass.rows());
        for (std::size_t k = 1; k <= depth; ++k) {
            --shorter.length;
            auto const rows = shorter.rows();
            tape.outputs[k].rows = rows;
            ds::ops::shift_tokens(be, shifted, tokens, pass.sequences, pass.length, static_cast<index_t>(k));
            ds::ops::embed(be, embedded.slice(0, rows), p.tokens, shifted);
            ds::ops::drop_last(be, hidden.slice(0, rows), tape.outputs[k - 1], pass.sequences);
            MtpHead<S>::forward(be, shorter, p.mtp[k - 1], hidden.slice(0, rows), embedded.slice(0, rows),
                                tape.outputs[k], kv.slice(0, rows));
            // The project trains head k on the token k + 2 places behind the row, not k + 1 (see README.md).
            tape.targets[k] = arena.template take<ds::Token>(rows);
            ds::ops::shift_tokens(be, tape.targets[k], tape.targets[0], pass.sequences, pass.length,
                                  static_cast<index_t>(k) + 1);
        }
        return tape;
    }

    /// Adds the mean losses, times pass.loss_scale, to losses[0] (main) and losses[k] (MTP head k).
    ///
    /// Units:     nats per target of the head
    template <class T, class B>
    static void loss(B& be, ds::viewed_params<Model, T const> const& p, Tape<T>& tape, double* losses) {
        for (std::size_t k = 0; k <= depth; ++k) {
            auto const scope = be.scratch().scope();
            auto h = tape.outputs[k];
            if (k > 0) {  // the last row of every sequence has no target
                auto const rows = h.rows - tape.pass.sequences;
                auto shorter = be.scratch().template rows<T, width>(rows);
                ds::ops::drop_last(be, shorter, h, tape.pass.sequences);
                h = shorter;
            }
            add_loss<T>(be, p, h, tape.targets[k], tape.pass.loss_scale, losses + k);
        }
    }

    /// What generation remembers: every token's keys and values in every block.
    template <class Slot>
    using Cache = std::array<ds::cached<Slot, Attention<S>::kv_width>, layers>;

    struct Blocks {
        template <class T, class B>
        static Cache<ds::Viewed<T>> take_cache(ds::Arena<B>& arena, index_t positions) {
            Cache<ds::Viewed<T>> cache;
            for (auto& kv : cache) {
                kv = arena.template rows<T, Attention<S>::kv_width>(positions);
            }
            return cache;
        }
    };

    /// Continues one sequence by `tokens`, which follow the pass.position tokens in the cache; writes the normed output.
    template <class T, class W, class B>
    static void extend(B& be, ds::Pass const& pass, ds::viewed_params<Model, W const> const& p,
                       ds::Token const* tokens, Cache<ds::Viewed<T>>& cache, ds::Rows<T, width> output) {
        embed(be, pass, p, output, tokens);
        for (std::size_t i = 0; i != layers; ++i) {
            Block<S>::forward(be, pass, p.blocks[i], output, cache[i].slice(0, pass.position + output.rows));
        }
        norm(be, output, output, p.norm);
    }

    static void logits(auto& be, auto const& p, auto out, auto output) {
        ds::ops::matmul_nt(be, out, output, p.tokens);
    }

private:
    static void check(ds::Pass const& pass, ds::Batch const& batch) {
        ds::expects<ds::ShapeError>(
            batch.sequences == pass.sequences && batch.length == pass.length && pass.sequences > 0 &&
                pass.length > mtp_depth + 1 && pass.length <= S.context,
            "forward: a batch of ", batch.sequences, " x ", batch.length, " tokens in a pass of ",
            pass.sequences, " x ", pass.length, "; expected more than ", mtp_depth + 1, " and at most ",
            S.context, " tokens in a sequence");
        ds::check_batch(batch, vocabulary);
        ds::expects(ds::counted_targets(batch) == pass.rows(),
                    "forward: targets of this model cannot be ignored");
    }

    // Every token is embedded and given its learned position.
    static void embed(auto& be, ds::Pass const& pass, auto const& p, auto x, ds::Token const* tokens) {
        ds::ops::embed(be, x, p.tokens, tokens);
        auto const positions = ds::ops::as_rows(p.positions).slice(pass.position, pass.length);
        for (index_t s = 0; s < pass.sequences; ++s) {
            auto const sequence = x.slice(s * pass.length, pass.length);
            ds::ops::transform(be, sequence, Sum{}, sequence, positions);
        }
    }

    // In parts, so that the logits of a whole batch never exist at once.
    template <class T, class B>
    static void add_loss(B& be, ds::viewed_params<Model, T const> const& p, ds::Rows<T, width> h,
                         ds::Token const* targets, double scale, double* loss) {
        constexpr index_t kRows = 256;
        for (index_t begin = 0; begin < h.rows; begin += kRows) {
            auto const count = std::min(kRows, h.rows - begin);
            auto const scope = be.scratch().scope();
            auto scores = be.scratch().template rows<T, vocabulary>(count);           // [count, vocabulary]
            auto losses = be.scratch().template rows<ds::accumulate_t<T>, 1>(count);  // [count]
            ds::ops::head_loss(be, losses, scores, h.slice(begin, count), p.tokens, targets + begin);
            ds::ops::add_sum(be, loss, losses, scale / static_cast<double>(h.rows));
        }
    }
};

using FromScratch100M = Model<Sizes{}>;
static_assert(ds::param_count<FromScratch100M> == 101'723'264);

}  // namespace from_scratch

#endif
