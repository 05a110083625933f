// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_LAYERS_BLOCK_HPP
#define DEEPSEEK_LAYERS_BLOCK_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/model_options.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/ops/add_rms_norm.hpp>
#include <deepseek/ops/dropout.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/rms_norm.hpp>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

/// One decoder block: x + attention(norm(x)), then the same with a feed-forward network. Both are layers of one width.
///
/// Shapes:    x, y [tokens, width]
/// Source:    DeepSeek-V3 model code; pre-normalised residual blocks
template <class Attention, class FeedForward, ModelOptions Options>
struct block_layer {
    static constexpr index_t width = Attention::width;
    using attention_type = Attention;
    using feed_forward_type = FeedForward;

    template <class Slot>
    struct Params {
        param<Slot, width> attention_norm;
        typename Attention::template Params<Slot> attention;
        param<Slot, width> feed_forward_norm;
        typename FeedForward::template Params<Slot> feed_forward;
    };
    template <class Slot>
    struct Saved {
        rows<Slot, width> attention_input;  // normed x
        rows<Slot, 1, wide> attention_inverse_rms;
        typename Attention::template Saved<Slot> attention;
        rows<Slot, width> middle;  // x + attention
        rows<Slot, width> feed_forward_input;
        rows<Slot, 1, wide> feed_forward_inverse_rms;
        typename FeedForward::template Saved<Slot> feed_forward;
    };
    template <class Slot>
    using Cache = typename Attention::template Cache<Slot>;

    static constexpr void visit(auto&& f, auto&... set) {
        auto const norm = [](std::string_view name) {
            return Info{.name = name, .init = Init::ones, .role = Role::undecayed};
        };
        f(norm("input_layernorm.weight"), set.attention_norm...);
        visit_child<Attention>("self_attn.", -1, f, set.attention...);
        f(norm("post_attention_layernorm.weight"), set.feed_forward_norm...);
        visit_child<FeedForward>("mlp.", -1, f, set.feed_forward...);
    }

    template <class T, class B>
    static Saved<Viewed<T>> take_saved(Arena<B>& arena, index_t count) {
        using A = accumulate_t<T>;
        return {.attention_input = arena.template rows<T, width>(count),
                .attention_inverse_rms = arena.template rows<A, 1>(count),
                .attention = take_set<Attention::template Saved, T>(arena, count),
                .middle = arena.template rows<T, width>(count),
                .feed_forward_input = arena.template rows<T, width>(count),
                .feed_forward_inverse_rms = arena.template rows<A, 1>(count),
                .feed_forward = take_set<FeedForward::template Saved, T>(arena, count)};
    }

    static void forward(auto& be, Pass const& pass, auto const& p, auto x, auto y, auto& saved) {
        using T = typename decltype(y)::element;
        auto const scope = be.scratch().scope();
        auto added = be.scratch().template rows<T, width>(x.rows);  // [tokens, width]

        ops::rms_norm(be, saved.attention_input, x, p.attention_norm, saved.attention_inverse_rms,
                      Options.norm_epsilon);
        Attention::forward(be, pass.fork(kAttention), p.attention, saved.attention_input, added,
                           saved.attention);
        ops::dropout(be, added, dropout(pass, kAttentionOutput));
        ops::add_rms_norm(be, saved.feed_forward_input, saved.middle, x, added, p.feed_forward_norm,
                          saved.feed_forward_inverse_rms, Options.norm_epsilon);
        FeedForward::forward(be, pass.fork(kFeedForward), p.feed_forward, saved.feed_forward_input, added,
                             saved.feed_forward);
        ops::dropout(be, added, dropout(pass, kFeedForwardOutput));
        ops::add(be, y, saved.middle, added);
    }

    /// dx holds dy on entry and the gradient of x on return: most of it passes through the residual stream unchanged.
    static void backward(auto& be, Pass const& pass, auto const& p, auto x, auto& saved, auto dx, auto& g) {
        using T = typename decltype(dx)::element;
        auto const scope = be.scratch().scope();
        auto dinput = be.scratch().template rows<T, width>(x.rows);  // [tokens, width]

        FeedForward::backward(be, pass.fork(kFeedForward), p.feed_forward, saved.feed_forward_input,
                              saved.feed_forward, masked(be, dx, dropout(pass, kFeedForwardOutput)), dinput,
                              g.feed_forward);
        ops::rms_norm_backward(be, dx, g.feed_forward_norm, dinput, saved.middle, p.feed_forward_norm,
                               saved.feed_forward_inverse_rms, ops::Write::add);

        Attention::backward(be, pass.fork(kAttention), p.attention, saved.attention_input, saved.attention,
                            masked(be, dx, dropout(pass, kAttentionOutput)), dinput, g.attention);
        ops::rms_norm_backward(be, dx, g.attention_norm, dinput, x, p.attention_norm,
                               saved.attention_inverse_rms, ops::Write::add);
    }

    /// Continues one sequence: the rows of x follow what the cache holds, pass.position entries.
    static void extend(auto& be, Pass const& pass, auto const& p, auto x, auto y, auto& cache) {
        using T = typename decltype(y)::element;
        auto const scope = be.scratch().scope();
        auto& arena = be.scratch();
        auto normed = arena.template rows<T, width>(x.rows);                 // [tokens, width]
        auto added = arena.template rows<T, width>(x.rows);                  // [tokens, width]
        auto inverse_rms = arena.template rows<accumulate_t<T>, 1>(x.rows);  // [tokens]

        ops::rms_norm(be, normed, x, p.attention_norm, inverse_rms, Options.norm_epsilon);
        Attention::extend(be, pass, p.attention, normed, added, cache);
        ops::add_rms_norm(be, normed, y, x, added, p.feed_forward_norm, inverse_rms, Options.norm_epsilon);
        auto saved = take_set<FeedForward::template Saved, T>(arena, x.rows);
        FeedForward::forward(be, pass, p.feed_forward, normed, added, saved);
        ops::add(be, y, y, added);
    }

private:
    // What random numbers are used for.
    enum Use : std::uint64_t { kAttention, kAttentionOutput, kFeedForward, kFeedForwardOutput };

    static Dropout dropout(Pass const& pass, Use use) {
        return {pass.residual_dropout, pass.random.fork(use)};
    }

    // dy as the sublayer sees it behind its dropout. The residual stream needs it whole, so a mask acts on a copy.
    static auto masked(auto& be, auto dy, Dropout const& mask) {
        using T = typename decltype(dy)::element;
        if (!mask.active()) {
            return dy;
        }
        auto copy = be.scratch().template rows<T, width>(dy.rows);  // [tokens, width]
        ops::copy(be, copy, dy);
        ops::dropout(be, copy, mask);
        return copy;
    }
};

}  // namespace detail

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
