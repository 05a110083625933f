// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_GATED_MATMUL_HPP
#define DEEPSEEK_OPS_REFERENCE_GATED_MATMUL_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/grouped_matmul.hpp>
#include <deepseek/ops/reference/matmul.hpp>
#include <deepseek/ops/reference/swiglu.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops {

// Defined by their parts: a backend that has these of its own computes them with them until it has the whole.
template <class B, class T, class W>
void reference(GatedMatmul, B& be, Strided<T> act, Strided<T> gate, Strided<T> up, Strided<T const> x,
               Strided<W const> w_gate, Strided<W const> w_up) {
    call<Matmul>(be, gate, x, false, w_gate, true, false);
    call<Matmul>(be, up, x, false, w_up, true, false);
    call<SwiGLU>(be, act, Strided<T const>(gate), Strided<T const>(up));
}

template <class B, class T, class W>
void reference(GroupedGatedMatmul, B& be, Strided<T> act, Strided<T> gate, Strided<T> up, Strided<T const> x,
               Strided<W const> w_gate, Strided<W const> w_up, std::int32_t const* offsets, index_t experts) {
    call<GroupedMatmulNt>(be, gate, x, w_gate, offsets, experts, false);
    call<GroupedMatmulNt>(be, up, x, w_up, offsets, experts, false);
    call<SwiGLU>(be, act, Strided<T const>(gate), Strided<T const>(up));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
