// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_TRANSPOSE_HPP
#define DEEPSEEK_BACKEND_CPU_TRANSPOSE_HPP

#include <deepseek/backend/cpu/simd.hpp>
#include <deepseek/core/index.hpp>

#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

namespace detail {
// One step of the transposition of N registers: swaps the off-diagonal quarters of every 2 Half x 2 Half block.
template <class T, int N, int Half, int... Lane>
[[gnu::always_inline]] inline void swap_quarters(Simd<T, N>& upper, Simd<T, N>& lower,
                                                 std::integer_sequence<int, Lane...>) {
    auto const first =
        __builtin_shufflevector(upper, lower, ((Lane & Half) == 0 ? Lane : N + Lane - Half)...);
    auto const second =
        __builtin_shufflevector(upper, lower, ((Lane & Half) == 0 ? Lane + Half : N + Lane)...);
    upper = first;
    lower = second;
}

template <class T, int N, int Half = N / 2>
[[gnu::always_inline]] inline void transpose_registers(Simd<T, N> (&rows)[N]) {
    if constexpr (Half > 0) {
        for (int i = 0; i < N; ++i) {
            if ((i & Half) == 0) {
                swap_quarters<T, N, Half>(rows[i], rows[i + Half], std::make_integer_sequence<int, N>{});
            }
        }
        transpose_registers<T, N, Half / 2>(rows);
    }
}
}  // namespace detail

/// to[c][r] = from[r][c] · scale for all r < rows, c < cols.
template <class T>
void copy_transposed(T* to, index_t to_stride, T const* from, index_t from_stride, index_t rows, index_t cols,
                     T scale = 1) {
    constexpr int kSide = kLanes<T>;
    auto const whole_rows = rows - rows % kSide;
    auto const whole_cols = cols - cols % kSide;
    for (index_t r = 0; r < whole_rows; r += kSide) {
        for (index_t c = 0; c < whole_cols; c += kSide) {
            Simd<T, kSide> block[kSide];
            for (int i = 0; i < kSide; ++i) {
                block[i] = load<T, kSide>(from + (r + i) * from_stride + c) * scale;
            }
            detail::transpose_registers<T, kSide>(block);
            for (int i = 0; i < kSide; ++i) {
                store(to + (c + i) * to_stride + r, block[i]);
            }
        }
    }
    for (index_t r = 0; r < rows; ++r) {
        for (index_t c = r < whole_rows ? whole_cols : 0; c < cols; ++c) {
            to[c * to_stride + r] = from[r * from_stride + c] * scale;
        }
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
