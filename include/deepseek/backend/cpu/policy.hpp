// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_POLICY_HPP
#define DEEPSEEK_BACKEND_CPU_POLICY_HPP

#include <deepseek/backend/cpu/eigen.hpp>
#include <deepseek/core/dtype.hpp>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

/// What the Cpu backend computes with kernels of its own, in measured/, instead of Eigen: that is where they win, by the
/// table "Own kernels beside Eigen" in benchmarks/RESULTS.md. With DEEPSEEK_CPU_MEASURED=0 it is nothing.
struct Policy {
    bool packed_products = false;   ///< of float and double with many rows
    bool narrow_products = false;   ///< products with bf16 in them
    bool few_rows = false;          ///< products of up to measured::kFewRows rows
    bool attention = false;         ///< tiles in registers, forward and backward
    bool latent_attention = false;  ///< the same over the cache, and the products with each head's weights
};

#if !DEEPSEEK_CPU_MEASURED
inline constexpr Policy kPolicy{};
#else
inline constexpr Policy kPolicy {
#if !EIGEN_VERSION_AT_LEAST(4, 0, 0)
    .packed_products = true,  // Eigen 5 has closed this one
#endif
        .narrow_products = true, .few_rows = true, .attention = true, .latent_attention = true
};
#endif

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
