// SPDX-License-Identifier: MIT
#ifndef FROM_SCRATCH_EXPERTS_HPP
#define FROM_SCRATCH_EXPERTS_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/slot.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/layers/linear.hpp>
#include <deepseek/ops/arguments/routing.hpp>
#include <deepseek/ops/bias.hpp>
#include <deepseek/ops/dispatch.hpp>
#include <deepseek/ops/grouped_matmul.hpp>
#include <deepseek/ops/route_pairs.hpp>
#include <deepseek/ops/swiglu.hpp>

#include "sizes.hpp"

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace from_scratch {

namespace loop {
/// y[row] += the bias of the expert that owns the row. One call is one row.
template <class T, class W>
struct AddExpertBias {
    using Sum = ds::accumulate_t<T>;

    ds::Strided<T> y;
    W const* biases;  // [experts, cols]
    std::int32_t const* offsets;

    DEEPSEEK_HD void operator()(index_t row) const {
        index_t expert = 0;
        while (offsets[expert + 1] <= row) {
            ++expert;
        }
        auto const* const bias = biases + expert * y.cols;
        for (index_t c = 0; c < y.cols; ++c) {
            y.row(row)[c] = ds::convert<T>(ds::convert<Sum>(y.row(row)[c]) + ds::convert<Sum>(bias[c]));
        }
    }
};
}  // namespace loop

/// SwiGLU with biases.
template <index_t Width, index_t Hidden>
struct FeedForward {
    using In = ds::Linear<Width, Hidden, true>;
    using Out = ds::Linear<Hidden, Width, true>;

    template <class Slot>
    struct Params {
        typename In::template Params<Slot> gate, up;
        typename Out::template Params<Slot> down;
    };
    static constexpr void visit(auto&& f, auto&... set) {
        ds::visit_child<In>("gate_proj.", -1, f, set.gate...);
        ds::visit_child<In>("up_proj.", -1, f, set.up...);
        ds::visit_child<Out>("down_proj.", -1, f, set.down...);
    }
    static void forward(auto& be, auto const& p, auto x, auto y) {
        using T = typename decltype(y)::element;
        auto const scope = be.scratch().scope();
        auto gate = be.scratch().template rows<T, Hidden>(x.rows);  // [tokens, Hidden]
        auto up = be.scratch().template rows<T, Hidden>(x.rows);    // [tokens, Hidden]
        In::forward(be, p.gate, x, gate);
        In::forward(be, p.up, x, up);
        ds::ops::swiglu(be, gate, gate, up);
        Out::forward(be, p.down, gate, y);
    }
};

/// Experts with biases, chosen by logits with a balancing bias on them and weighted by the softmax of the chosen logits,
/// bias included; and one expert that every token uses.
template <Sizes S>
struct Experts {
    using Router = ds::Linear<S.width, S.experts>;
    using Shared = FeedForward<S.width, S.shared_hidden>;
    static constexpr index_t hidden = S.expert_hidden;

    // Matrices and biases of the experts stand one below the other.
    template <class Slot, index_t Out, index_t In>
    struct Stack {
        ds::param<Slot, S.experts * Out, In> weight;
        ds::param<Slot, S.experts * Out> bias;
    };
    template <class Slot>
    struct Params {
        ds::state<Slot, S.experts> expert_bias;
        typename Router::template Params<Slot> router;
        Stack<Slot, hidden, S.width> gate, up;
        Stack<Slot, S.width, hidden> down;
        typename Shared::template Params<Slot> shared;
    };
    static constexpr void visit(auto&& f, auto&... set) {
        auto const stacked = [](std::string_view name) {
            return ds::Info{.name = name, .shard = ds::Shard::expert, .parts = S.experts, .active = S.top_k};
        };
        f(ds::Info{.name = "expert_bias", .init = ds::Init::zeros, .role = ds::Role::state},
          set.expert_bias...);
        ds::visit_child<Router>("router.", -1, f, set.router...);
        f(stacked("experts.#.gate_proj.weight"), set.gate.weight...);
        f(stacked("experts.#.gate_proj.bias"), set.gate.bias...);
        f(stacked("experts.#.up_proj.weight"), set.up.weight...);
        f(stacked("experts.#.up_proj.bias"), set.up.bias...);
        f(stacked("experts.#.down_proj.weight"), set.down.weight...);
        f(stacked("experts.#.down_proj.bias"), set.down.bias...);
        ds::visit_child<Shared>("shared_expert.", -1, f, set.shared...);
    }

    /// Writes all of y.
    static void forward(auto& be, auto const& p, auto x, auto y) {
        using T = typename decltype(y)::element;
        auto const scope = be.scratch().scope();
        auto& arena = be.scratch();
        auto const pairs = x.rows * S.top_k;
        auto logits = arena.template rows<T, S.experts>(x.rows);           // [tokens, experts]
        auto chosen = arena.template rows<std::int32_t, S.top_k>(x.rows);  // [tokens, top_k]
        auto gates = arena.template rows<T, S.top_k>(x.rows);              // [tokens, top_k]
        auto inputs = arena.template rows<T, S.width>(pairs);              // [pairs, width]
        auto gate = arena.template rows<T, hidden>(pairs);                 // [pairs, hidden]
        auto up = arena.template rows<T, hidden>(pairs);                   // [pairs, hidden]
        ds::ops::Dispatch const plan{arena.template take<std::int32_t>(S.experts + 1),
                                     arena.template take<std::int32_t>(pairs),
                                     arena.template take<std::int32_t>(pairs)};

        // The softmax of all logits, divided by its sum over the chosen, is that of the chosen logits.
        Router::forward(be, p.router, x, logits);
        ds::ops::add_bias(be, logits, p.expert_bias);
        ds::ops::route_pairs(be, plan, logits, nullptr, chosen, gates,
                             {.scoring = ds::Scoring::softmax, .normalize = true, .bias = false});

        ds::ops::gather_pairs<S.top_k>(be, inputs, x, plan.pair_at);
        expert_linear(be, p.gate, inputs, gate, plan);
        expert_linear(be, p.up, inputs, up, plan);
        ds::ops::swiglu(be, gate, gate, up);
        expert_linear(be, p.down, gate, inputs, plan);
        Shared::forward(be, p.shared, x, y);
        ds::ops::combine_pairs(be, y, inputs, gates, plan.row_of, ds::ops::Write::add);
    }

private:
    static void expert_linear(auto& be, auto const& p, auto x, auto y, ds::ops::Dispatch const& plan) {
        using T = typename decltype(y)::element;
        using W = std::remove_const_t<typename decltype(p.bias)::element>;
        ds::ops::grouped_matmul_nt(be, y, x, p.weight, plan.offsets);
        be.for_each(y.rows, y.cols, loop::AddExpertBias<T, W>{y.strided(), p.bias.cdata(), plan.offsets});
    }
};

}  // namespace from_scratch

#endif
