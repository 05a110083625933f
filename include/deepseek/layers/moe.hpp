// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_LAYERS_MOE_HPP
#define DEEPSEEK_LAYERS_MOE_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/layers/linear.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/ops/arguments/routing.hpp>
#include <deepseek/ops/dispatch.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/gated_matmul.hpp>
#include <deepseek/ops/grouped_matmul.hpp>
#include <deepseek/ops/reduce.hpp>
#include <deepseek/ops/route.hpp>
#include <deepseek/ops/route_pairs.hpp>
#include <deepseek/ops/swiglu.hpp>

#include <cstdint>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

template <class Slot, index_t Experts>
struct moe_bias {
    state<Slot, Experts> bias;  // its "gradient" counts how often each expert was chosen
};

template <class Slot, class Shared>
struct moe_shared {
    typename Shared::template Params<Slot> shared;
};

template <class Slot, class Shared>
struct moe_shared_saved {
    typename Shared::template Saved<Slot> shared;
};

template <index_t Dim, int Experts, int TopK, index_t Hidden, index_t SharedHidden, Routing Route>
struct moe_layer {
    static constexpr index_t width = Dim;
    static constexpr index_t experts = Experts;
    static constexpr index_t top_k = TopK;
    static constexpr index_t hidden = Hidden;
    static constexpr index_t shared_hidden = SharedHidden;
    static constexpr Routing routing = Route;

    using Router = Linear<Dim, Experts>;
    static constexpr bool has_shared = SharedHidden > 0;
    using Shared = swiglu_layer<Dim, has_shared ? SharedHidden : 1>;

    template <class Slot>
    struct Params : std::conditional_t<Route.bias, moe_bias<Slot, Experts>, Absent<0>>,
                    std::conditional_t<has_shared, moe_shared<Slot, Shared>, Absent<1>> {
        typename Router::template Params<Slot> router;
        param<Slot, Experts * Hidden, Dim> gate, up;  // the experts' matrices, one below the other
        param<Slot, Experts * Dim, Hidden> down;
    };
    template <class Slot>
    struct Saved {
        rows<Slot, Experts, wide> scores;       // affinities
        rows<Slot, TopK, std::int32_t> chosen;  // ids: a backward pass routes as the forward pass did
        rows<Slot, TopK, wide> gates;
        rows<Slot, TopK * Hidden> gate, up;  // seen as [tokens * TopK, Hidden], sorted by expert
        rows<Slot, has_shared ? SharedHidden : 1> shared_gate, shared_up;
    };

    static constexpr void visit(auto&& f, auto&... set) {
        visit_child<Router>("gate.", -1, f, set.router...);
        if constexpr (Route.bias) {
            f(Info{.name = "gate.e_score_correction_bias", .init = Init::zeros, .role = Role::state},
              set.bias...);
        }
        auto const stacked = [](std::string_view name, Init init) {
            return Info{.name = name, .init = init, .shard = Shard::expert, .parts = Experts, .active = TopK};
        };
        f(stacked("experts.#.gate_proj.weight", Init::normal), set.gate...);
        f(stacked("experts.#.up_proj.weight", Init::normal), set.up...);
        f(stacked("experts.#.down_proj.weight", Init::scaled_normal), set.down...);
        if constexpr (has_shared) {
            visit_child<Shared>("shared_experts.", -1, f, set.shared...);
        }
    }

    static void forward(auto& be, Pass const& pass, auto const& p, auto x, auto y, auto& saved) {
        using T = typename decltype(y)::element;
        auto const scope = be.scratch().scope();

        Router::forward(be, p.router, widened(be, x), saved.scores);  // logits [tokens, Experts]
        auto const plan = plan_for(be, x.rows * TopK);
        ops::route_pairs(be, plan, saved.scores, bias_of(p), saved.chosen, saved.gates, Route);
        if (pass.balance_alpha > 0 && pass.balance_loss != nullptr) {
            using A = accumulate_t<T>;
            auto load = be.scratch().template rows<A, Experts>(pass.sequences);  // [sequences, Experts]
            auto loss = be.scratch().template rows<A, 1>(pass.sequences);        // [sequences]
            ops::balance_loss<TopK>(be, load, loss, saved.scores, pass.targets, pass.sequence_weights);
            ops::add_sum(be, pass.balance_loss, loss, pass.balance_alpha * pass.loss_scale);
        }

        auto inputs = be.scratch().template rows<T, Dim>(x.rows * TopK);  // [pairs, Dim]
        auto act = be.scratch().template rows<T, Hidden>(x.rows * TopK);  // [pairs, Hidden]
        auto gate = saved.gate.template reshape<Hidden>();                // [pairs, Hidden]
        auto up = saved.up.template reshape<Hidden>();                    // [pairs, Hidden]
        ops::gather_pairs<TopK>(be, inputs, x, plan.pair_at);
        ops::grouped_gated_matmul(be, act, gate, up, inputs, p.gate, p.up, plan.offsets);
        auto outputs = inputs;  // the inputs are no longer needed
        ops::grouped_matmul_nt(be, outputs, act, p.down, plan.offsets);

        if constexpr (has_shared) {
            auto shared = shared_saved(saved);
            Shared::forward(be, pass, p.shared, x, y, shared);
        }
        ops::combine_pairs(be, y, outputs, saved.gates, plan.row_of,
                           has_shared ? ops::Write::add : ops::Write::overwrite);
    }

    static void backward(auto& be, Pass const& pass, auto const& p, auto x, auto& saved, auto dy, auto dx,
                         auto& g) {
        using T = typename decltype(dx)::element;
        auto const scope = be.scratch().scope();

        auto const plan = plan_for(be, x.rows * TopK);
        ops::dispatch<Experts>(be, plan, saved.chosen);
        if constexpr (Route.bias) {
            ops::count_load(be, g.bias, saved.chosen, pass.targets);
        }
        if constexpr (has_shared) {
            auto shared = shared_saved(saved);
            Shared::backward(be, pass, p.shared, x, shared, dy, dx, g.shared);
        } else {
            be.fill_zero(dx.data, x.rows * Dim * static_cast<index_t>(sizeof(T)));
        }

        auto const pairs = x.rows * TopK;
        auto pair_rows =
            be.scratch().template rows<T, Dim>(pairs);  // [pairs, Dim]: dy, then x, then dx of each pair
        auto act = be.scratch().template rows<T, Hidden>(pairs);                  // [pairs, Hidden]
        auto dact = be.scratch().template rows<T, Hidden>(pairs);                 // [pairs, Hidden]
        auto gate = saved.gate.template reshape<Hidden>();                        // [pairs, Hidden]
        auto up = saved.up.template reshape<Hidden>();                            // [pairs, Hidden]
        auto dgates = be.scratch().template rows<accumulate_t<T>, TopK>(x.rows);  // [tokens, TopK]
        ops::gather_pairs<TopK>(be, pair_rows, dy, plan.pair_at);
        ops::grouped_matmul_nn(be, dact, pair_rows, p.down, plan.offsets);
        ops::swiglu(be, act, gate, up);
        ops::gate_backward(be, dgates, act, dact, saved.gates, plan.pair_at);
        ops::grouped_matmul_tn(be, g.down, pair_rows, act, plan.offsets);
        ops::swiglu_backward(be, gate, up, dact, gate, up);  // gate and up become their gradients
        ops::gather_pairs<TopK>(be, pair_rows, x, plan.pair_at);
        ops::grouped_matmul_tn(be, g.gate, gate, pair_rows, plan.offsets);
        ops::grouped_matmul_tn(be, g.up, up, pair_rows, plan.offsets);
        ops::grouped_matmul_nn(be, pair_rows, gate, p.gate, plan.offsets);
        ops::grouped_matmul_nn(be, pair_rows, up, p.up, plan.offsets, ops::Write::add);
        ops::combine_pairs(be, dx, pair_rows, Rows<T, TopK>{}, plan.row_of, ops::Write::add);

        backward_router(be, pass, p, x, saved, dgates, dx, g);
    }

private:
    static void backward_router(auto& be, Pass const& pass, auto const& p, auto x, auto& saved, auto dgates,
                                auto dx, auto& g) {
        using T = typename decltype(dx)::element;
        using A = accumulate_t<T>;
        auto dlogits = be.scratch().template rows<A, Experts>(x.rows);  // [tokens, Experts]
        Rows<A, Experts> load{};  // [sequences, Experts] with a balance loss
        if (pass.balance_alpha > 0) {
            load = be.scratch().template rows<A, Experts>(pass.sequences);
            ops::balance_loss<TopK>(be, load, be.scratch().template rows<A, 1>(pass.sequences), saved.scores,
                                    pass.targets, pass.sequence_weights);
        }
        ops::route_backward(be, dlogits, dgates, saved.scores, saved.chosen, Route, load,
                            static_cast<A>(pass.balance_alpha * pass.loss_scale), pass.length, pass.targets);
        Router::backward_params(be, widened(be, x), dlogits, g.router);
        if constexpr (std::is_same_v<T, A>) {
            Router::backward_input(be, p.router, dlogits, dx, ops::Write::add);
        } else {
            auto dwide = be.scratch().template rows<A, Dim>(x.rows);  // [tokens, Dim]
            auto rounded = be.scratch().template rows<T, Dim>(x.rows);
            Router::backward_input(be, p.router, dlogits, dwide);
            ops::copy(be, rounded, dwide);
            ops::accumulate(be, dx, rounded);
        }
    }

    // x as the router sees it: logits must not be rounded, as products of narrow activations are.
    static auto widened(auto& be, auto x) {
        using T = std::remove_const_t<typename decltype(x)::element>;
        if constexpr (std::is_same_v<T, accumulate_t<T>>) {
            return x;
        } else {
            auto copy = be.scratch().template rows<accumulate_t<T>, Dim>(x.rows);  // [tokens, Dim]
            ops::copy(be, copy, x);
            return copy;
        }
    }

    static auto bias_of(auto const& p) {
        if constexpr (Route.bias) {
            return p.bias.data;
        } else {
            return nullptr;
        }
    }

    static ops::Dispatch plan_for(auto& be, index_t pairs) {
        auto& scratch = be.scratch();
        return {scratch.template take<std::int32_t>(Experts + 1), scratch.template take<std::int32_t>(pairs),
                scratch.template take<std::int32_t>(pairs)};
    }

    static auto shared_saved(auto& saved) {
        using T = typename decltype(saved.shared_gate)::element;
        return typename Shared::template Saved<Viewed<T>>{saved.shared_gate, saved.shared_up};
    }
};
static_assert(every_member_visited<moe_layer<8, 4, 2, 4, 6, Routing{}>>());
static_assert(every_member_visited<moe_layer<8, 4, 2, 4, 0, Routing{.bias = false}>>());

template <int Experts, int TopK, index_t Hidden, index_t SharedHidden, Routing Route>
struct moe_spec {
    template <index_t Dim>
    using bind = moe_layer<Dim, Experts, TopK, Hidden, SharedHidden, Route>;
};

template <int Experts, int TopK, index_t Hidden, index_t SharedHidden, Routing Route>
struct moe_rules {
    static constexpr bool positive = Experts > 0 && TopK > 0 && Hidden > 0 && SharedHidden >= 0;
    static constexpr bool fits = !positive || TopK <= Experts;
    static constexpr bool groups = !positive || (Route.groups > 0 && Experts % Route.groups == 0);
    static constexpr bool kept =
        !(positive && groups) || (Route.groups_kept > 0 && Route.groups_kept <= Route.groups &&
                                  (!fits || TopK <= Route.groups_kept * (Experts / Route.groups)));
    static constexpr bool pairs = !(positive && groups) || Route.groups == 1 ||
                                  Route.scoring == Scoring::softmax || Experts / Route.groups >= 2;
    static constexpr bool ok = positive && fits && groups && kept && pairs;
};

}  // namespace detail

/// Mixture of experts: TopK of Experts small SwiGLU networks per token, weighted, plus one that every token uses.
///
/// Shapes:    x, y [tokens, Dim]; router [Experts, Dim]; experts SwiGLU<Hidden>; the shared expert
///            SwiGLU<SharedHidden>, none where that is 0
/// Precision: router logits, affinities and gates in accumulate_t of the weights
/// Balance:   the router's bias is state: the optimizer never touches it; backward counts the experts' load in its
///            gradient, and ops::update_biases applies it once per optimizer step
/// Source:    DeepSeek-V3 technical report, 2.1.2
template <int Experts, int TopK, index_t Hidden, index_t SharedHidden = 0, Routing Route = Routing{}>
struct MoE
    : std::conditional_t<detail::moe_rules<Experts, TopK, Hidden, SharedHidden, Route>::ok,
                         detail::moe_spec<Experts, TopK, Hidden, SharedHidden, Route>, detail::Refused> {
private:
    using rules = detail::moe_rules<Experts, TopK, Hidden, SharedHidden, Route>;
    static_assert(
        rules::positive,
        "MoE<Experts, TopK, Hidden, SharedHidden>: Experts, TopK and Hidden must be positive; SharedHidden 0 "
        "means no shared expert");
    static_assert(rules::fits, "MoE<Experts, TopK>: TopK must not exceed Experts");
    static_assert(rules::groups, "MoE<Experts, …, Routing>: groups must be positive and divide Experts");
    static_assert(
        rules::kept,
        "MoE<Experts, TopK, …, Routing>: groups_kept must be between 1 and groups, and the kept groups must "
        "hold at least TopK experts");
    static_assert(
        rules::pairs,
        "MoE<Experts, …, Routing>: sigmoid routing ranks a group by its two best experts, so a group needs "
        "at least two");
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
