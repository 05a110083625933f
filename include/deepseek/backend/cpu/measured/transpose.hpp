// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_TRANSPOSE_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_TRANSPOSE_HPP

#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/core/index.hpp>

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

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
            transpose<kSide>(block);
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

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
