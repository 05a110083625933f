// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_LATENT_ATTENTION_HPP
#define DEEPSEEK_BACKEND_CPU_LATENT_ATTENTION_HPP

#include <deepseek/backend/cpu/eigen_latent_attention.hpp>
#include <deepseek/backend/cpu/measured/head_products.hpp>
#include <deepseek/backend/cpu/measured/latent_attention.hpp>
#include <deepseek/backend/cpu/policy.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/latent_attention.hpp>

#include <concepts>
#include <type_traits>

// Attention over the latent cache, and the products with each head's weights around it, on the pool of a Cpu.

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu {

/// The tiles are for activations of float and double.
template <class T, class Narrow>
inline constexpr bool kAttendsLatentsByTiles =
    kPolicy.latent_attention&& std::is_floating_point_v<T>&& std::is_same_v<accumulate_t<Narrow>, T>;

}  // namespace cpu

template <std::same_as<Cpu> B, class T, class W>
void compute(ops::AbsorbQuery, B& be, Strided<T> out, Strided<T const> in, Strided<W const> weight,
             HeadProducts const& products) {
    if constexpr (cpu::kAttendsLatentsByTiles<T, W>) {
        cpu::measured::head_products_nn(be.pool(), out, in, weight, products);
    } else {
        cpu::head_products_by_eigen(be.pool(), out, in, weight, false, products);
    }
}

template <std::same_as<Cpu> B, class T, class W>
void compute(ops::ExpandValues, B& be, Strided<T> out, Strided<T const> in, Strided<W const> weight,
             HeadProducts const& products) {
    if constexpr (cpu::kAttendsLatentsByTiles<T, W>) {
        cpu::measured::head_products_nt(be.pool(), out, in, weight, products);
    } else {
        cpu::head_products_by_eigen(be.pool(), out, in, weight, true, products);
    }
}

template <std::same_as<Cpu> B, class T, class C>
void compute(ops::LatentAttention, B& be, Strided<T> context, Strided<T const> q_latent, Strided<T const> q,
             Strided<C const> latent, Strided<C const> key, LatentShape const& shape) {
    if constexpr (cpu::kAttendsLatentsByTiles<T, C>) {
        cpu::measured::latent_attention(be.pool(), be.scratch(), context, q_latent, q, latent, key, shape);
    } else {
        cpu::latent_attention_by_eigen(be.pool(), be.scratch(), context, q_latent, q, latent, key, shape);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
