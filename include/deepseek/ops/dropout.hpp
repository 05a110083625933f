// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_DROPOUT_HPP
#define DEEPSEEK_OPS_DROPOUT_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/dropout.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Sets elements of x to zero with probability dropout.rate and divides the others by 1 - rate, in place. The same
/// call on the gradient of the result gives that of x. A rate of 0 leaves x alone.
///
/// Shapes:    x [rows, C]; element [r, c] has number r * C + c of the mask
/// Errors:    Error if the rate is not in [0, 1)
template <class B, class T, index_t C>
void dropout(B& be, Rows<T, C> x, Dropout const& dropout) {
    expects(dropout.rate >= 0 && dropout.rate < 1, "dropout: the rate must be in [0, 1), not ", dropout.rate);
    if (x.rows == 0 || !dropout.active()) {
        return;
    }
    call<ApplyDropout>(be, x.strided(), dropout);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
