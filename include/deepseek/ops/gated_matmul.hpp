// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GATED_MATMUL_HPP
#define DEEPSEEK_OPS_GATED_MATMUL_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/gated_matmul.hpp>

#include <cstdint>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::ops {

// The first half of a SwiGLU network: two products of the same input and the gated activation. Composite operations: the
// three in one, for backends that read the input once, or activate while they still hold the sums.

/// gate = x · w_gateᵀ, up = x · w_upᵀ, act = silu(gate) · up.
///
/// Shapes:    act, gate, up [rows, Out], all written; x [rows, In]; w_gate, w_up [Out, In]
/// Precision: as matmul_nt; gate and up are rounded to their type before they are activated
/// Errors:    ShapeError if the row counts differ
/// Source:    Shazeer 2020
template <class B, class T, class X, class W, index_t In, index_t Out>
void gated_matmul(B& be, Rows<T, Out> act, Rows<T, Out> gate, Rows<T, Out> up, Rows<X, In> x,
                  Matrix<W, Out, In> w_gate, Matrix<W, Out, In> w_up) {
    static_assert(std::is_same_v<T, std::remove_const_t<X>>, "gated_matmul: x and act differ in type");
    expects<ShapeError>(act.rows == x.rows && gate.rows == x.rows && up.rows == x.rows,
                        "gated_matmul: x has ", x.rows, " rows, act ", act.rows, ", gate ", gate.rows,
                        ", up ", up.rows);
    if (x.rows > 0) {
        using Weight = Strided<std::remove_const_t<W> const>;
        call<GatedMatmul>(be, act.strided(), gate.strided(), up.strided(), Strided<T const>(x.strided()),
                          Weight(w_gate.strided()), Weight(w_up.strided()));
    }
}

/// The same for every expert e: rows and stacks of weights as in grouped_matmul_nt.
///
/// Shapes:    act, gate, up [rows, Out], all written; x [rows, In]; w_gate, w_up [Experts * Out, In];
///            offsets [Experts + 1], last = rows
/// Errors:    ShapeError if the row counts differ
template <class B, class T, class X, class W, index_t Stack, index_t In, index_t Out>
void grouped_gated_matmul(B& be, Rows<T, Out> act, Rows<T, Out> gate, Rows<T, Out> up, Rows<X, In> x,
                          Matrix<W, Stack, In> w_gate, Matrix<W, Stack, In> w_up,
                          std::int32_t const* offsets) {
    static_assert(Stack % Out == 0, "grouped_gated_matmul: the weights are not stacks of [Out, In]");
    expects<ShapeError>(act.rows == x.rows && gate.rows == x.rows && up.rows == x.rows,
                        "grouped_gated_matmul: x has ", x.rows, " rows, act ", act.rows, ", gate ", gate.rows,
                        ", up ", up.rows);
    if (x.rows > 0) {
        using Weight = Strided<std::remove_const_t<W> const>;
        call<GroupedGatedMatmul>(be, act.strided(), gate.strided(), up.strided(),
                                 Strided<T const>(x.strided()), Weight(w_gate.strided()),
                                 Weight(w_up.strided()), offsets, Stack / Out);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
