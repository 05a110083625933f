// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_COMPUTE_HPP
#define DEEPSEEK_BACKEND_GPU_COMPUTE_HPP

#include <deepseek/backend/gpu/backend.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/kernels/attention.hpp>
#include <deepseek/kernels/cross_entropy.hpp>
#include <deepseek/kernels/matmul.hpp>
#include <deepseek/kernels/rms_norm.hpp>
#include <deepseek/kernels/set.hpp>
#include <deepseek/kernels/swiglu.hpp>
#include <deepseek/ops/arguments/attention.hpp>

#include <cstdint>

// The operations that a GPU has kernels for: grids and scratch memory. What is computed stands in kernels/.

namespace deepseek::inline DEEPSEEK_ABI {

namespace gpu {
// A kernel that says how many blocks it has.
template <class B, class K>
void launch(B& be, K const& kernel) {
    be.for_blocks(kernel.blocks(), kernel);
}
}  // namespace gpu

// kernels/matmul.hpp

template <class D, class Own, class T, class A, class W>
void compute(ops::Matmul, Gpu<D, Own>& be, Strided<T> out, Strided<A const> a, bool transpose_a,
             Strided<W const> b, bool transpose_b, bool add) {
    gpu::launch(be, kernels::Matmul<T, A, W>{out, a, b, transpose_a, transpose_b, add});
}

template <class D, class Own, class T, class A, class W>
void compute(ops::GroupedMatmulNt, Gpu<D, Own>& be, Strided<T> y, Strided<A const> x, Strided<W const> w,
             std::int32_t const* offsets, index_t groups, bool add) {
    gpu::launch(be, kernels::GroupedMatmul<T, A, W>{y, x, w, offsets, groups, true, add});
}

template <class D, class Own, class T, class A, class W>
void compute(ops::GroupedMatmulNn, Gpu<D, Own>& be, Strided<T> dx, Strided<A const> dy, Strided<W const> w,
             std::int32_t const* offsets, index_t groups, bool add) {
    gpu::launch(be, kernels::GroupedMatmul<T, A, W>{dx, dy, w, offsets, groups, false, add});
}

template <class D, class Own, class T, class A, class X>
void compute(ops::GroupedMatmulTn, Gpu<D, Own>& be, Strided<T> dw, Strided<A const> dy, Strided<X const> x,
             std::int32_t const* offsets, index_t, bool add) {
    gpu::launch(be, kernels::GroupedGradient<T, A, X>{dw, dy, x, offsets, add});
}

// kernels/attention.hpp

template <class D, class Own, class T>
void compute(ops::Attention, Gpu<D, Own>& be, Strided<T> out, Strided<accumulate_t<T>> lse,
             Strided<T const> q, Strided<T const> kv, Strided<T const> kr, AttentionShape const& shape) {
    gpu::launch(be, kernels::Attention<T>{{q, kv, kr, shape}, out, lse});
}

template <class D, class Own, class T>
void compute(ops::AttentionBackward, Gpu<D, Own>& be, Strided<T> dq, Strided<T> dkv, Strided<T> dkr,
             Strided<T const> dout, Strided<T const> out, Strided<accumulate_t<T> const> lse,
             Strided<T const> q, Strided<T const> kv, Strided<T const> kr, AttentionShape const& shape) {
    using Sum = accumulate_t<T>;
    using Delta = kernels::AttentionDelta<T>;
    using Rotary = kernels::RotaryGradient<T>;
    auto const scope = be.scratch().scope();
    auto* const delta = be.scratch().template take<Sum>(checked_mul(q.rows, shape.heads));
    auto* const rotary = be.scratch().template take<Sum>(checked_mul(kv.rows, shape.heads * shape.rope));
    be.for_blocks(ceil_div(q.rows * shape.heads, Delta::kEach),
                  Delta{delta, dout, out, shape.heads, shape.value});
    kernels::AttentionScoreGradient<T> const gradient{{q, kv, kr, shape}, dout, lse, delta};
    gpu::launch(be, kernels::AttentionQueryGradient<T>{gradient, dq});
    gpu::launch(be, kernels::AttentionKeyGradient<T>{gradient, dkv, rotary});
    be.for_blocks(ceil_div(dkr.rows * dkr.cols, Rotary::kThreads),
                  Rotary{dkr, rotary, shape.heads, static_cast<Sum>(shape.scale)});
}

// kernels/cross_entropy.hpp

template <class D, class Own, class T>
void compute(ops::CrossEntropy, Gpu<D, Own>& be, Strided<T> logits, Token const* targets,
             Strided<accumulate_t<T>> loss, accumulate_t<T> scale) {
    be.for_blocks(logits.rows, kernels::CrossEntropy<T>{logits, targets, loss, scale});
}

template <class D, class Own, class T>
void compute(ops::CrossEntropyLoss, Gpu<D, Own>& be, Strided<T const> logits, Token const* targets,
             Strided<accumulate_t<T>> loss) {
    be.for_blocks(logits.rows, kernels::CrossEntropyLoss<T>{logits, targets, loss});
}

// kernels/rms_norm.hpp

template <class D, class Own, class T, class W>
void compute(ops::RmsNorm, Gpu<D, Own>& be, Strided<T> y, Strided<T const> x, W const* gain,
             Strided<accumulate_t<T>> inverse_rms, double epsilon) {
    using Kernel = kernels::RmsNorm<T, W>;
    be.for_blocks(ceil_div(x.rows, Kernel::kRows),
                  Kernel{y, x, gain, inverse_rms, static_cast<accumulate_t<T>>(epsilon)});
}

template <class D, class Own, class T, class G, class W>
void compute(ops::RmsNormBackward, Gpu<D, Own>& be, Strided<T> dx, G* dgain, Strided<T const> dy,
             Strided<T const> x, W const* gain, Strided<accumulate_t<T> const> inverse_rms, bool add) {
    using Sum = accumulate_t<T>;
    using Gain = kernels::RmsNormGain<T>;
    using Total = kernels::AddStrips<Sum, G>;
    using Input = kernels::RmsNormInput<T, W>;
    auto const scope = be.scratch().scope();
    auto const strips = ceil_div(x.rows, Gain::kStrip);
    auto* const partial = be.scratch().template take<Sum>(checked_mul(strips, x.cols));
    be.for_blocks(strips * ceil_div(x.cols, kernels::kWarp), Gain{partial, dy, x, inverse_rms});
    be.for_blocks(ceil_div(x.cols, Total::kThreads), Total{dgain, partial, strips, x.cols});
    be.for_blocks(ceil_div(x.rows, Input::kRows),
                  Input{dx, dy, x, gain, inverse_rms, add});  // last: dx may be dy
}

// kernels/swiglu.hpp

template <class D, class Own, class T>
void compute(ops::SwiGLU, Gpu<D, Own>& be, Strided<T> act, Strided<T const> gate, Strided<T const> up) {
    gpu::launch(be, kernels::SwiGLU<T>{act, gate, up});
}

template <class D, class Own, class T>
void compute(ops::SwiGLUBackward, Gpu<D, Own>& be, Strided<T> dgate, Strided<T> dup, Strided<T> act,
             Strided<T const> dact, Strided<T const> gate, Strided<T const> up) {
    gpu::launch(be, kernels::SwiGLUBackward<T>{dgate, dup, act, dact, gate, up});
}

// kernels/set.hpp

template <class D, class Own, class T, class Constants>
void compute(ops::AdamW, Gpu<D, Own>& be, T* weights, T const* gradients, T* first, T* second,
             Segments const& segments, Constants const& constants) {
    be.for_blocks(segments.blocks,
                  kernels::AdamW<T, Constants>{weights, gradients, first, second, segments, constants});
}

template <class D, class Own, class T>
void compute(ops::SumOfSquares, Gpu<D, Own>& be, double* total, T const* set, Segments const& segments) {
    auto const scope = be.scratch().scope();
    auto* const partial = be.scratch().template take<double>(segments.blocks);
    be.for_blocks(segments.blocks, kernels::BlockSquares<T>{partial, set, segments});
    be.for_blocks(1, kernels::AddSum<double>{total, {partial, segments.blocks, 1, 1}, 1});
}

template <class D, class Own, class T>
void compute(ops::AddSum, Gpu<D, Own>& be, double* total, Strided<T const> x, double factor) {
    be.for_blocks(1, kernels::AddSum<T>{total, x, factor});
}

template <class D, class Own, class To, class From>
void compute(ops::ConvertSet, Gpu<D, Own>& be, To* to, Segments const& to_segments, From const* from,
             Segments const& from_segments) {
    be.for_blocks(to_segments.blocks, kernels::ConvertSet<To, From>{to, to_segments, from, from_segments});
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
