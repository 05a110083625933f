// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_CALL_HPP
#define DEEPSEEK_OPS_CALL_HPP

#include <deepseek/backend/operations.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

// So that the names below are functions whatever a program calls so; which one is decided by the arguments.
void compute() = delete;
void reference() = delete;

/// Computes operation Op on a backend: with the backend's own function where it lists Op, with the reference loop
/// otherwise. Every door ends here. Both are found by their first argument.
template <class Op, class B, class... Args>
void call(B& be, Args const&... args) {
    if constexpr (deepseek::detail::lists<B, Op>()) {
        compute(Op{}, be, args...);
    } else {
        reference(Op{}, be, args...);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
