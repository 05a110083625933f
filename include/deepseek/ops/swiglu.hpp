// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_SWIGLU_HPP
#define DEEPSEEK_OPS_SWIGLU_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/swiglu.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// act = silu(gate) · up, with silu(u) = u / (1 + e^-u).
///
/// Shapes:    act, gate, up [rows, C]; act may be gate or up
/// Errors:    ShapeError if the row counts differ
/// Source:    Shazeer 2020
template <class B, class T, index_t C>
void swiglu(B& be, Rows<T, C> act, std::type_identity_t<Rows<T const, C>> gate,
            std::type_identity_t<Rows<T const, C>> up) {
    expects<ShapeError>(act.rows == gate.rows && act.rows == up.rows, "swiglu: act has ", act.rows,
                        " rows, gate has ", gate.rows, ", up has ", up.rows);
    if (act.rows == 0) {
        return;
    }
    call<SwiGLU>(be, act.strided(), gate.strided(), up.strided());
}

/// Gradients of swiglu. Overwrites dgate and dup, each of which may be the memory of any input.
///
/// Shapes:    dgate, dup, dact, gate, up [rows, C]
/// Errors:    ShapeError if the row counts differ
template <class B, class T, index_t C>
void swiglu_backward(B& be, Rows<T, C> dgate, Rows<T, C> dup, std::type_identity_t<Rows<T const, C>> dact,
                     std::type_identity_t<Rows<T const, C>> gate, std::type_identity_t<Rows<T const, C>> up) {
    expects<ShapeError>(
        dgate.rows == dup.rows && dgate.rows == dact.rows && dgate.rows == gate.rows && dgate.rows == up.rows,
        "swiglu_backward: dgate has ", dgate.rows, " rows, dup has ", dup.rows, ", dact has ", dact.rows,
        ", gate has ", gate.rows, ", up has ", up.rows);
    if (dgate.rows == 0) {
        return;
    }
    call<SwiGLUBackward>(be, dgate.strided(), dup.strided(), Strided<T>{}, dact.strided(), gate.strided(),
                         up.strided());
}

/// The same, and swiglu's value once more: cheaper than keeping or recomputing it by itself.
///
/// Shapes:    act [rows, C], written; it may be the memory of any input that no other output is
/// Errors:    ShapeError if the row counts differ
template <class B, class T, index_t C>
void swiglu_backward(B& be, Rows<T, C> dgate, Rows<T, C> dup, Rows<T, C> act,
                     std::type_identity_t<Rows<T const, C>> dact, std::type_identity_t<Rows<T const, C>> gate,
                     std::type_identity_t<Rows<T const, C>> up) {
    expects<ShapeError>(dgate.rows == dup.rows && dgate.rows == act.rows && dgate.rows == dact.rows &&
                            dgate.rows == gate.rows && dgate.rows == up.rows,
                        "swiglu_backward: dgate has ", dgate.rows, " rows, dup has ", dup.rows, ", act has ",
                        act.rows, ", dact has ", dact.rows, ", gate has ", gate.rows, ", up has ", up.rows);
    if (dgate.rows == 0) {
        return;
    }
    call<SwiGLUBackward>(be, dgate.strided(), dup.strided(), act.strided(), dact.strided(), gate.strided(),
                         up.strided());
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
