// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ARGUMENTS_ADAMW_HPP
#define DEEPSEEK_OPS_ARGUMENTS_ADAMW_HPP

#include <deepseek/config.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// What AdamW computes with.
template <class T>
struct AdamWConstants {
    T keep;  ///< 1 - rate · weight_decay
    T step;  ///< rate / correction1
    T beta1;
    T beta2;
    T rest1;  ///< 1 - beta1
    T rest2;
    T inverse_root2;  ///< 1 / sqrt(correction2)
    T epsilon;
    T gradient_scale;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
