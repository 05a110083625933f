// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_LAYERS_MTP_HPP
#define DEEPSEEK_LAYERS_MTP_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/model_options.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/layers/linear.hpp>
#include <deepseek/ops/embedding.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/ops/rms_norm.hpp>
#include <deepseek/ops/shift.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

/// Multi-token prediction: Depth modules, the k-th of which sees token i + k beside the hidden state of position i and
/// predicts token i + k + 1. Modules are built like the model's last block; embedding and head are the model's own.
///
/// Source:    DeepSeek-V3 technical report, 2.2
template <int Depth>
struct MTP {
    static constexpr bool is_mtp = true;
    static constexpr int depth = Depth > 0 ? Depth : 0;
    static_assert(Depth >= 0, "MTP<Depth>: Depth must not be negative; 0 means no multi-token prediction");
};

namespace detail {

/// One MTP module without embedding and head: norms of the token and of the hidden state, their joint projection, a
/// decoder block, and the norm before the head.
///
/// Shapes:    saved.embedded [rows, width], of the tokens one further on; saved.hidden [rows, width], the normed output
///            of the depth before without the last row of every sequence; saved.output [rows, width], normed
/// Source:    DeepSeek-V3 technical report, eq. 21-24; the order of the concatenation is the published code's
template <class Block, ModelOptions Options>
struct mtp_module {
    static constexpr index_t width = Block::width;
    using Join = Linear<2 * width, width>;  // of the embedding, then the hidden state

    template <class Slot>
    struct Params {
        param<Slot, width> embedding_norm, hidden_norm;
        typename Join::template Params<Slot> join;
        typename Block::template Params<Slot> block;
        param<Slot, width> norm;
    };
    template <class Slot>
    struct Saved {
        rows<Slot, width> embedded, hidden;  // the joint projection's inputs before their norms
        rows<Slot, 1, wide> embedding_inverse_rms, hidden_inverse_rms;
        rows<Slot, 2 * width> normed;
        rows<Slot, width> block_input, block_output;
        rows<Slot, 1, wide> inverse_rms;
        rows<Slot, width> output;  // normed: what the head and the next depth see
        typename Block::template Saved<Slot> block;
    };
    template <class Slot>
    using Cache = typename Block::template Cache<Slot>;

    static constexpr void visit(auto&& f, auto&... set) {
        auto const norm = [](std::string_view name) {
            return Info{.name = name, .init = Init::ones, .role = Role::undecayed};
        };
        f(norm("enorm.weight"), set.embedding_norm...);
        f(norm("hnorm.weight"), set.hidden_norm...);
        visit_child<Join>("eh_proj.", -1, f, set.join...);
        Block::visit(f, set.block...);
        f(norm("shared_head.norm.weight"), set.norm...);
    }

    template <class T, class B>
    static Saved<Viewed<T>> take_saved(Arena<B>& arena, index_t count) {
        using A = accumulate_t<T>;
        return {.embedded = arena.template rows<T, width>(count),
                .hidden = arena.template rows<T, width>(count),
                .embedding_inverse_rms = arena.template rows<A, 1>(count),
                .hidden_inverse_rms = arena.template rows<A, 1>(count),
                .normed = arena.template rows<T, 2 * width>(count),
                .block_input = arena.template rows<T, width>(count),
                .block_output = arena.template rows<T, width>(count),
                .inverse_rms = arena.template rows<A, 1>(count),
                .output = arena.template rows<T, width>(count),
                .block = Block::template take_saved<T>(arena, count)};
    }

    /// saved.embedded and saved.hidden hold the inputs; writes saved.output.
    static void forward(auto& be, Pass const& pass, auto const& p, auto& saved) {
        join(be, p, saved);
        Block::forward(be, pass, p.block, saved.block_input, saved.block_output, saved.block);
        ops::rms_norm(be, saved.output, saved.block_output, p.norm, saved.inverse_rms, Options.norm_epsilon);
    }

    /// doutput holds the gradient of saved.output and becomes that of saved.hidden; writes dembedded.
    static void backward(auto& be, Pass const& pass, auto const& p, auto& saved, auto doutput, auto dembedded,
                         auto& g) {
        using T = typename decltype(doutput)::element;
        auto const scope = be.scratch().scope();
        auto dnormed = be.scratch().template rows<T, 2 * width>(doutput.rows);  // [rows, 2 * width]

        ops::rms_norm_backward(be, doutput, g.norm, doutput, saved.block_output, p.norm, saved.inverse_rms,
                               ops::Write::overwrite);
        Block::backward(be, pass, p.block, saved.block_input, saved.block, doutput, g.block);
        Join::backward(be, p.join, saved.normed, doutput, dnormed, g.join);
        ops::rms_norm_backward(be, dembedded, g.embedding_norm, left(dnormed), saved.embedded,
                               p.embedding_norm, saved.embedding_inverse_rms, ops::Write::overwrite);
        ops::rms_norm_backward(be, doutput, g.hidden_norm, right(dnormed), saved.hidden, p.hidden_norm,
                               saved.hidden_inverse_rms, ops::Write::overwrite);
    }

    /// Continues one sequence while generating: saved.embedded and saved.hidden as in forward; writes y, normed.
    static void extend(auto& be, Pass const& pass, auto const& p, auto& saved, auto y, auto& cache) {
        join(be, p, saved);
        Block::extend(be, pass, p.block, saved.block_input, saved.block_output, cache);
        ops::rms_norm(be, y, saved.block_output, p.norm, saved.inverse_rms, Options.norm_epsilon);
    }

private:
    static void join(auto& be, auto const& p, auto& saved) {
        ops::rms_norm(be, left(saved.normed), saved.embedded, p.embedding_norm, saved.embedding_inverse_rms,
                      Options.norm_epsilon);
        ops::rms_norm(be, right(saved.normed), saved.hidden, p.hidden_norm, saved.hidden_inverse_rms,
                      Options.norm_epsilon);
        Join::forward(be, p.join, saved.normed, saved.block_input);
    }
    static auto left(auto both) { return both.template columns<0, width>(); }
    static auto right(auto both) { return both.template columns<width, width>(); }
};

}  // namespace detail

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
