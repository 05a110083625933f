// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_LAYER_HPP
#define DEEPSEEK_CORE_LAYER_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/slot.hpp>
#include <deepseek/core/visit.hpp>

#include <concepts>

// A layer is a type that owns nothing: it says what its tensors are and how to compute with them. Its functions are
// static; `be` is the backend, `p` the bound parameters, `g` their gradients, x, y, dx and dy are rows [tokens, width].
//
//   forward(be, pass, p, x, y, saved)              writes all of y and of saved
//   backward(be, pass, p, x, saved, dy, dx, g)     writes all of dx, adds to g
//   extend(be, pass, p, x, y, cache)               attention only: appends to the cache, writes all of y
//
// They read nothing else, take temporary memory only from be.scratch(), and never wait for the backend. backward may
// overwrite saved, not dy. A spec (SwiGLU<1024>) becomes a layer when bound to a width; the width is written once.

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {
struct VisitNothing {
    constexpr void operator()(Info const&, auto const&...) const {}
};
}  // namespace detail

/// What a layer type must declare.
template <class L>
concept Layer = requires(typename L::template Params<Described>& params, detail::VisitNothing const& f) {
    { L::width } -> std::convertible_to<index_t>;
    typename L::template Saved<OneByte>;
    L::visit(f, params);
};

/// A layer that keeps something between tokens: what a block begins with.
template <class L>
concept AttentionLayer = Layer<L> && requires {
    typename L::template Cache<OneByte>;
    { L::cache_width } -> std::convertible_to<index_t>;
};

/// A spec: what it becomes at a width is a layer of that width.
template <class S, index_t Width = 64>
concept Spec = Layer<typename S::template bind<Width>> && S::template bind<Width>::width == Width;

namespace detail {

template <class S, index_t Width>
concept Bindable = requires {
    typename S::template bind<Width>;
};

template <class T>
inline constexpr bool never = false;

/// Stands in for a layer whose configuration was refused: it parses wherever a layer does and does nothing, so the
/// refusal is the only error.
struct Refused {
    static constexpr bool refused = true;
    static constexpr index_t width = 1;
    static constexpr index_t cache_width = 0;
    template <index_t>
    using bind = Refused;
    template <class>
    struct Params {};
    template <class>
    struct Saved {};
    template <class>
    struct Cache {};
    static constexpr void visit(auto&&, auto&...) {}
    static void forward(auto&&...) {}
    static void backward(auto&&...) {}
    static void extend(auto&&...) {}
};

// A base without members for parts a configuration leaves out. Tagged, because equal empty bases would not overlap.
template <int Tag>
struct Absent {};

}  // namespace detail

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
