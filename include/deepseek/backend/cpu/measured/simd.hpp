// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_SIMD_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_SIMD_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

// Short vectors in the compilers' own notation (GNU vector extensions): arithmetic on them is written as on numbers
// and becomes one instruction where the target has it, several where it has not. Only loads, stores and shuffles need
// a name.

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

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
    // A bf16 is the upper half of a float.
#if defined(__AVX512BW__)
    // One shuffle with zeros, where g++ makes six instructions of the conversion below.
    return [&]<int... I>(std::integer_sequence<int, I...>) {
        Simd<std::uint16_t, Lanes> const zeros{};
        return std::bit_cast<Simd<T, Lanes>>(
            __builtin_shufflevector(zeros, bits, (I % 2 == 0 ? 0 : Lanes + I / 2)...));
    }
    (std::make_integer_sequence<int, 2 * Lanes>{});
#else
    return std::bit_cast<Simd<T, Lanes>>(__builtin_convertvector(bits, Simd<std::uint32_t, Lanes>) << 16U);
#endif
}

/// Stores to any address.
template <class T, class V>
[[gnu::always_inline]] inline void store(T* to, V const& value) {
    std::memcpy(to, &value, sizeof value);
}

/// Elements of a cache line.
template <class T>
inline constexpr index_t kLine = 64 / static_cast<index_t>(sizeof(T));

/// Asks for the cache line at from + ahead, which may lie outside of the memory that `from` points into.
template <class T>
[[gnu::always_inline]] inline void prefetch(T const* from, index_t ahead) {
    auto const address =
        reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(ahead) * sizeof(T);
    __builtin_prefetch(reinterpret_cast<void const*>(address));
}

namespace detail {
// Exchanges the upper right and the lower left block of the Half x Half blocks of two rows, Half apart, of a matrix.
template <int N, int Half, class V, int... Lane>
[[gnu::always_inline]] inline void exchange_blocks(V& upper, V& lower, std::integer_sequence<int, Lane...>) {
    V const left = __builtin_shufflevector(upper, lower, ((Lane & Half) == 0 ? Lane : N + Lane - Half)...);
    lower = __builtin_shufflevector(upper, lower, ((Lane & Half) == 0 ? Lane + Half : N + Lane)...);
    upper = left;
}
}  // namespace detail

/// Transposes N rows of N lanes: exchanges blocks of half the size, then the same within each block.
template <int N, int Half = N / 2, class V>
[[gnu::always_inline]] inline void transpose(V (&rows)[N]) {
    if constexpr (Half > 0) {
        for (int i = 0; i < N; ++i) {
            if ((i & Half) == 0) {
                detail::exchange_blocks<N, Half>(rows[i], rows[i + Half],
                                                 std::make_integer_sequence<int, N>{});
            }
        }
        transpose<N, Half / 2>(rows);
    }
}

/// totals[i] = the sum of the lanes of values[i]. Lanes are added in halves (l and l + N/2, and so on), so a sum does
/// not depend on how many are formed together.
template <class T, int N, int Lanes = kLanes<T>>
[[gnu::always_inline]] inline void lane_sums(T (&totals)[N], Simd<T, Lanes> const (&values)[N]) {
    if constexpr (Lanes == 1) {
        std::memcpy(totals, values, sizeof totals);
    } else if constexpr (Lanes == N) {
        Simd<T, N> rows[N];  // the sum of the columns of the transpose
        std::memcpy(&rows, &values, sizeof rows);
        transpose<N>(rows);
        for (int half = N / 2; half > 0; half /= 2) {
            for (int i = 0; i < half; ++i) {
                rows[i] += rows[i + half];
            }
        }
        std::memcpy(totals, rows, sizeof totals);
    } else {
        Simd<T, Lanes / 2> folded[N];
        for (int i = 0; i < N; ++i) {
            Simd<T, Lanes / 2> halves[2];
            std::memcpy(&halves, &values[i], sizeof halves);
            folded[i] = halves[0] + halves[1];
        }
        lane_sums<T, N, Lanes / 2>(totals, folded);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
