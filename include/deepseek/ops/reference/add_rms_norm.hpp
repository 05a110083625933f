// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_ADD_RMS_NORM_HPP
#define DEEPSEEK_OPS_REFERENCE_ADD_RMS_NORM_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/elementwise.hpp>
#include <deepseek/ops/reference/rms_norm.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

// Defined by its parts: a backend that has these of its own computes it with them until it has the whole.
template <class B, class T, class W>
void reference(AddRmsNorm, B& be, Strided<T> y, Strided<T> sum, Strided<T const> a, Strided<T const> b,
               W const* gain, Strided<accumulate_t<T>> inverse_rms, double epsilon) {
    call<Add>(be, sum, a, b);
    call<RmsNorm>(be, y, Strided<T const>(sum), gain, inverse_rms, epsilon);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
