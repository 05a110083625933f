// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_HEAD_LOSS_HPP
#define DEEPSEEK_OPS_REFERENCE_HEAD_LOSS_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/cross_entropy.hpp>
#include <deepseek/ops/reference/matmul.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

// Defined by their parts: a backend that has these of its own computes them with them until it has the whole.
template <class B, class T, class W>
void reference(HeadLoss, B& be, Strided<accumulate_t<T>> loss, Strided<T> scores, Strided<T const> h,
               Strided<W const> w, Token const* targets) {
    call<Matmul>(be, scores, h, false, w, true, false);
    call<CrossEntropyLoss>(be, Strided<T const>(scores), targets, loss);
}

template <class B, class T, class G, class W>
void reference(HeadLossBackward, B& be, Strided<accumulate_t<T>> loss, Strided<T> scores, Strided<T> dh,
               Strided<G> dw, Strided<T const> h, Strided<W const> w, Token const* targets,
               accumulate_t<T> scale) {
    call<Matmul>(be, scores, h, false, w, true, false);
    call<CrossEntropy>(be, scores, targets, loss, scale);
    call<Matmul>(be, dw, Strided<T const>(scores), true, h, false, true);
    call<Matmul>(be, dh, Strided<T const>(scores), false, w, false, false);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
