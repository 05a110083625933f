// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MATMUL_HPP
#define DEEPSEEK_BACKEND_CPU_MATMUL_HPP

#include <deepseek/backend/cpu/gemm.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <concepts>
#include <cstdint>

// Products on the pool of a Cpu.

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

template <std::same_as<Cpu> B, class T, class A, class W>
void compute(ops::Matmul, B& be, Strided<T> out, Strided<A const> a, bool transpose_a, Strided<W const> b,
             bool transpose_b, bool add) {
    cpu::gemm(be.pool(), out, a, transpose_a, b, transpose_b, add);
}

template <std::same_as<Cpu> B, class T, class A, class W>
void compute(ops::GroupedMatmulNt, B& be, Strided<T> y, Strided<A const> x, Strided<W const> w,
             std::int32_t const* offsets, index_t groups, bool add) {
    cpu::grouped_gemm_nt(be.pool(), y, x, w, offsets, groups, add);
}

template <std::same_as<Cpu> B, class T, class A, class W>
void compute(ops::GroupedMatmulNn, B& be, Strided<T> dx, Strided<A const> dy, Strided<W const> w,
             std::int32_t const* offsets, index_t groups, bool add) {
    cpu::grouped_gemm_nn(be.pool(), dx, dy, w, offsets, groups, add);
}

template <std::same_as<Cpu> B, class T, class A, class X>
void compute(ops::GroupedMatmulTn, B& be, Strided<T> dw, Strided<A const> dy, Strided<X const> x,
             std::int32_t const* offsets, index_t groups, bool add) {
    cpu::grouped_gemm_tn(be.pool(), dw, dy, x, offsets, groups, add);
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
