// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_LAYERS_SWIGLU_HPP
#define DEEPSEEK_LAYERS_SWIGLU_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/ops/swiglu.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

template <index_t Dim, index_t Hidden>
struct swiglu_layer {
    static constexpr index_t width = Dim;

    template <class Slot>
    struct Params {
        param<Slot, Hidden, Dim> gate;
        param<Slot, Hidden, Dim> up;
        param<Slot, Dim, Hidden> down;
    };
    template <class Slot>
    struct Saved {
        rows<Slot, Hidden> gate, up;  // what the activation's gradient needs; its value is recomputed
    };

    static constexpr void visit(auto&& f, auto&... set) {
        f(Info{.name = "gate_proj.weight"}, set.gate...);
        f(Info{.name = "up_proj.weight"}, set.up...);
        f(Info{.name = "down_proj.weight", .init = Init::scaled_normal}, set.down...);
    }

    static void forward(auto& be, Pass const&, auto const& p, auto x, auto y, auto& saved) {
        using T = typename decltype(y)::element;
        auto const scope = be.scratch().scope();
        auto act = be.scratch().template rows<T, Hidden>(x.rows);  // [tokens, Hidden]
        ops::matmul_nt(be, saved.gate, x, p.gate);
        ops::matmul_nt(be, saved.up, x, p.up);
        ops::swiglu(be, act, saved.gate, saved.up);
        ops::matmul_nt(be, y, act, p.down);
    }

    static void backward(auto& be, Pass const&, auto const& p, auto x, auto& saved, auto dy, auto dx,
                         auto& g) {
        using T = typename decltype(dx)::element;
        auto const scope = be.scratch().scope();
        auto act = be.scratch().template rows<T, Hidden>(x.rows);   // [tokens, Hidden]
        auto dact = be.scratch().template rows<T, Hidden>(x.rows);  // [tokens, Hidden]
        ops::matmul_nn(be, dact, dy, p.down);
        // gate and up become their gradients; the activation is computed again on the way
        ops::swiglu_backward(be, saved.gate, saved.up, act, dact, saved.gate, saved.up);
        ops::matmul_tn(be, g.down, dy, act);
        ops::matmul_tn(be, g.gate, saved.gate, x);
        ops::matmul_tn(be, g.up, saved.up, x);
        ops::matmul_nn(be, dx, saved.gate, p.gate);
        ops::matmul_nn(be, dx, saved.up, p.up, ops::Write::add);
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
