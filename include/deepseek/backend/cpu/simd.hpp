// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_SIMD_HPP
#define DEEPSEEK_BACKEND_CPU_SIMD_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>

#include <bit>
#include <cstdint>
#include <cstring>

// Short vectors in the compilers' own notation (GNU vector extensions): arithmetic on them is written as on numbers
// and becomes one instruction where the target has it, several where it has not. Only loads, stores and shuffles need
// a name.

namespace deepseek::inline DEEPSEEK_ABI::cpu {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
inline constexpr int kVectorRegisters = 32;
#elif defined(__AVX__)
inline constexpr int kVectorBytes = 32;
inline constexpr int kVectorRegisters = 16;
#elif defined(__aarch64__)
inline constexpr int kVectorBytes = 16;
inline constexpr int kVectorRegisters = 32;
#else
inline constexpr int kVectorBytes = 16;
inline constexpr int kVectorRegisters = 16;
#endif

namespace detail {
template <class T, int Lanes>
struct simd {
    typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
};
}  // namespace detail

/// `Lanes` numbers of type T, a power of two.
template <class T, int Lanes>
using Simd = typename detail::simd<T, Lanes>::type;

/// How many T fill one register of the target.
template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

/// The next Lanes elements at any address, converted to T.
template <class T, int Lanes, class S>
[[gnu::always_inline]] inline Simd<T, Lanes> load(S const* from) {
    Simd<S, Lanes> value;
    std::memcpy(&value, from, sizeof value);
    return value;
}
template <class T, int Lanes>
[[gnu::always_inline]] inline Simd<T, Lanes> load(bf16 const* from) {
    Simd<std::uint16_t, Lanes> bits;
    std::memcpy(&bits, from, sizeof bits);
    auto const words = __builtin_convertvector(bits, Simd<std::uint32_t, Lanes>) << 16U;
    return std::bit_cast<Simd<T, Lanes>>(words);  // a bf16 is the upper half of a float
}

/// Stores to any address.
template <class T, class V>
[[gnu::always_inline]] inline void store(T* to, V const& value) {
    std::memcpy(to, &value, sizeof value);
}

/// The sum of all lanes, added in halves: the order is the same wherever it is used.
template <class T, int Lanes>
[[gnu::always_inline]] inline T lane_sum(Simd<T, Lanes> const& value) {
    if constexpr (Lanes == 1) {
        return value[0];
    } else {
        Simd<T, Lanes / 2> halves[2];
        std::memcpy(&halves, &value, sizeof value);
        return lane_sum<T, Lanes / 2>(halves[0] + halves[1]);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
