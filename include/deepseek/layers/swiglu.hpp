// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_LAYERS_SWIGLU_HPP
#define DEEPSEEK_LAYERS_SWIGLU_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/layers/linear.hpp>
#include <deepseek/ops/gated_matmul.hpp>
#include <deepseek/ops/swiglu.hpp>
#include <deepseek/ops/write.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

template <index_t Dim, index_t Hidden>
struct swiglu_layer {
    static constexpr index_t width = Dim;
    using In = Linear<Dim, Hidden>;
    using Out = Linear<Hidden, Dim, false, Init::scaled_normal>;

    template <class Slot>
    struct Params {
        typename In::template Params<Slot> gate, up;
        typename Out::template Params<Slot> down;
    };
    template <class Slot>
    struct Saved {
        rows<Slot, Hidden> gate, up;  // what the activation's gradient needs; its value is recomputed
    };

    static constexpr void visit(auto&& f, auto&... set) {
        visit_child<In>("gate_proj.", -1, f, set.gate...);
        visit_child<In>("up_proj.", -1, f, set.up...);
        visit_child<Out>("down_proj.", -1, f, set.down...);
    }

    static void forward(auto& be, Pass const&, auto const& p, auto x, auto y, auto& saved) {
        using T = typename decltype(y)::element;
        auto const scope = be.scratch().scope();
        auto act = be.scratch().template rows<T, Hidden>(x.rows);  // [tokens, Hidden]
        ops::gated_matmul(be, act, saved.gate, saved.up, x, p.gate.weight, p.up.weight);
        Out::forward(be, p.down, act, y);
    }

    static void backward(auto& be, Pass const&, auto const& p, auto x, auto& saved, auto dy, auto dx,
                         auto& g) {
        using T = typename decltype(dx)::element;
        auto const scope = be.scratch().scope();
        auto act = be.scratch().template rows<T, Hidden>(x.rows);   // [tokens, Hidden]
        auto dact = be.scratch().template rows<T, Hidden>(x.rows);  // [tokens, Hidden]
        Out::backward_input(be, p.down, dy, dact);
        // gate and up become their gradients; the activation is computed again on the way
        ops::swiglu_backward(be, saved.gate, saved.up, act, dact, saved.gate, saved.up);
        Out::backward_params(be, act, dy, g.down);
        In::backward(be, p.gate, x, saved.gate, dx, g.gate);
        In::backward(be, p.up, x, saved.up, dx, g.up, ops::Write::add);
    }
};
static_assert(every_member_visited<swiglu_layer<8, 16>>());

template <index_t Hidden>
struct swiglu_spec {
    template <index_t Dim>
    using bind = swiglu_layer<Dim, Hidden>;
};

template <index_t Hidden>
struct swiglu_rules {
    static constexpr bool positive = Hidden > 0;
};

}  // namespace detail

/// Gated feed-forward network: down( silu(gate x) * up x ).
///
/// Shapes:    x, y [tokens, Dim]; gate, up [Hidden, Dim]; down [Dim, Hidden]; no biases
/// Saved:     2 Hidden values per token
/// Source:    Shazeer 2020; DeepSeek-V3 model code
template <index_t Hidden>
struct SwiGLU : std::conditional_t<detail::swiglu_rules<Hidden>::positive, detail::swiglu_spec<Hidden>,
                                   detail::Refused> {
    static_assert(detail::swiglu_rules<Hidden>::positive, "SwiGLU<Hidden>: Hidden must be positive");
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
