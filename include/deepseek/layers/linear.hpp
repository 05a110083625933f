// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_LAYERS_LINEAR_HPP
#define DEEPSEEK_LAYERS_LINEAR_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/slot.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/ops/bias.hpp>
#include <deepseek/ops/matmul.hpp>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

template <class Slot, index_t In, index_t Out, bool Bias>
struct linear_params {
    param<Slot, Out, In> weight;
    param<Slot, Out> bias;
};
template <class Slot, index_t In, index_t Out>
struct linear_params<Slot, In, Out, false> {
    param<Slot, Out, In> weight;
};

}  // namespace detail

/// y = x · weightᵀ + bias: what other layers are made of, and the one place that multiplies by a weight. It keeps nothing
/// between the passes: backward is given x again.
///
/// Shapes:    x, dx [tokens, In]; y, dy [tokens, Out]; weight [Out, In]; bias [Out], where there is one
/// Precision: as ops::matmul_nt; the bias is added to the rounded product
/// Errors:    ShapeError if rows differ in number
template <index_t In, index_t Out, bool Bias = false, Init WeightInit = Init::normal>
struct Linear {
    static_assert(In > 0 && Out > 0, "Linear<In, Out>: both must be positive");
    static constexpr index_t in = In;
    static constexpr index_t out = Out;

    template <class Slot>
    using Params = detail::linear_params<Slot, In, Out, Bias>;

    static constexpr void visit(auto&& f, auto&... set) {
        f(Info{.name = "weight", .init = WeightInit}, set.weight...);
        if constexpr (Bias) {
            f(Info{.name = "bias", .init = Init::zeros, .role = Role::undecayed}, set.bias...);
        }
    }

    /// Writes all of y.
    static void forward(auto& be, auto const& p, auto x, auto y) {
        ops::matmul_nt(be, y, x, p.weight);
        if constexpr (Bias) {
            ops::add_bias(be, y, p.bias);
        }
    }

    /// Adds to g; writes all of dx, or adds to it.
    static void backward(auto& be, auto const& p, auto x, auto dy, auto dx, auto& g,
                         ops::Write write = ops::Write::overwrite) {
        backward_params(be, x, dy, g);
        backward_input(be, p, dy, dx, write);
    }

    /// The half of backward that needs x, for layers that compute it again only after they have dx.
    static void backward_params(auto& be, auto x, auto dy, auto& g) {
        if constexpr (Bias) {
            ops::bias_backward(be, g.bias, dy);
        }
        ops::matmul_tn(be, g.weight, dy, x);
    }

    /// The other half.
    static void backward_input(auto& be, auto const& p, auto dy, auto dx,
                               ops::Write write = ops::Write::overwrite) {
        ops::matmul_nn(be, dx, dy, p.weight, write);
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
