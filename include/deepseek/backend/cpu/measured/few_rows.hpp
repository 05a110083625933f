// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_FEW_ROWS_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_FEW_ROWS_HPP

#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/product.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>

// Products with few rows: generating tokens. A weight is used so few times that packing it would cost more than
// multiplying, and past the caches memory sets the speed: the weight is read once, in order, as it lies.

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

/// Up to here, a · bᵀ is a product of few rows: at 8 x 512 x 50257 in single precision the dot products below are
/// twice as fast as packing, at 16 rows 1.4 times.
inline constexpr index_t kFewRows = 16;

/// Columns of c that are computed side by side: of b lying along the depth, rows read at once for several rows of a;
/// of b lying along the columns, vectors.
inline constexpr int kDotCols = 3;
inline constexpr int kStripVectors = 8;

/// Tiles of few rows begin at multiples of this many columns. Then the way a column is computed, alone or beside
/// others, does not depend on the tiles.
template <class T>
constexpr index_t few_cols_unit(bool b_depth_contiguous) {
    return b_depth_contiguous ? 4 * kDotCols : kStripVectors * kLanes<T>;
}

namespace detail {

// The first `count` < Lanes elements; zero in the other lanes.
template <class T, int Lanes, class S>
[[gnu::always_inline]] inline Simd<T, Lanes> load_part(S const* from, index_t count) {
    S padded[Lanes] = {};
    std::copy(from, from + count, padded);
    return load<T, Lanes>(padded);
}

// c = a · bᵀ for Rows rows of a and Cols rows of b, all contiguous along the depth. Every element is a sum of vectors
// (of `Chains` of them, where Rows x Cols are too few to hide the latency of an addition), of its lanes at the end.
template <int Rows, int Cols, int Chains, class T, class A, class B>
void multiply_dots(Strided<T> c, Operand<A> const& a, Operand<B> const& b, index_t depth, bool add) {
    constexpr int kWidth = kLanes<T>;
    Simd<T, kWidth> sums[Chains][Cols][Rows] = {};
    auto const step = [&](int chain, auto const& load_row) {
        Simd<T, kWidth> right[Cols];
        for (int j = 0; j < Cols; ++j) {
            right[j] = load_row(b.at(j, 0));
        }
        for (int i = 0; i < Rows; ++i) {
            auto const left = load_row(a.at(i, 0));
            for (int j = 0; j < Cols; ++j) {
                sums[chain][j][i] += left * right[j];
            }
        }
    };
    index_t p = 0;
    for (; p + Chains * kWidth <= depth; p += Chains * kWidth) {
        // One row after the other is a stream that processors follow by themselves; several at once are not.
        constexpr index_t kAhead = 8192;  // bytes
        if constexpr (Cols > 1) {
            for (int j = 0; j < Cols; ++j) {
                prefetch(b.at(j, p), kAhead / static_cast<index_t>(sizeof(B)));
            }
        }
        for (int chain = 0; chain < Chains; ++chain) {
            step(chain, [at = p + chain * kWidth](auto const* row) { return load<T, kWidth>(row + at); });
        }
    }
    for (; p + kWidth <= depth; p += kWidth) {
        step(0, [p](auto const* row) { return load<T, kWidth>(row + p); });
    }
    if (p < depth) {
        step(0, [p, depth](auto const* row) { return load_part<T, kWidth>(row + p, depth - p); });
    }
    for (int j = 0; j < Cols; ++j) {
        for (int chain = 1; chain < Chains; ++chain) {
            for (int i = 0; i < Rows; ++i) {
                sums[0][j][i] += sums[chain][j][i];
            }
        }
        T totals[Rows];
        lane_sums(totals, sums[0][j]);
        for (int i = 0; i < Rows; ++i) {
            auto& to = c.row(i)[j];
            to = add ? to + totals[i] : totals[i];
        }
    }
}

// c = a · b for one row of a and Vectors vectors of columns of b, whose memory runs along the columns.
template <int Vectors, class T, class A, class B>
void multiply_strip(T* c, A const* a, Operand<B> const& b, index_t depth, bool add) {
    constexpr int kWidth = kLanes<T>;
    Simd<T, kWidth> sums[Vectors] = {};
    for (index_t p = 0; p < depth; ++p) {
        for (int v = 0; v < Vectors; ++v) {
            sums[v] += convert<T>(a[p]) * load<T, kWidth>(b.at(v * kWidth, p));
        }
    }
    for (int v = 0; v < Vectors; ++v) {
        auto* const to = c + v * kWidth;
        store(to, add ? load<T, kWidth>(to) + sums[v] : sums[v]);
    }
}

// All columns of one row, in the widest strips that fit, the last ones one by one.
template <class T, class A, class B>
void multiply_row(T* c, index_t cols, A const* a, Operand<B> const& b, index_t depth, bool add) {
    constexpr index_t kStrip = kStripVectors * kLanes<T>;
    index_t j = 0;
    for (; j + kStrip <= cols; j += kStrip) {
        multiply_strip<kStripVectors>(c + j, a, b.from(j), depth, add);
    }
    for (; j + kLanes<T> <= cols; j += kLanes<T>) {
        multiply_strip<1>(c + j, a, b.from(j), depth, add);
    }
    for (; j < cols; ++j) {
        T sum{};
        for (index_t p = 0; p < depth; ++p) {
            sum += convert<T>(a[p]) * convert<T>(*b.at(j, p));
        }
        c[j] = add ? c[j] + sum : sum;
    }
}

// All columns for Rows rows of a, Cols columns at a time.
template <int Rows, int Cols, int Chains, class T, class A, class B>
void multiply_all_dots(Strided<T> c, Operand<A> const& a, Operand<B> const& b, index_t depth, bool add) {
    index_t j = 0;
    for (; j + Cols <= c.cols; j += Cols) {
        multiply_dots<Rows, Cols, Chains>(Strided<T>{c.data + j, c.rows, c.cols, c.stride}, a, b.from(j),
                                          depth, add);
    }
    if constexpr (Cols > 1) {
        for (; j < c.cols; ++j) {
            multiply_dots<Rows, 1, Chains>(Strided<T>{c.data + j, c.rows, c.cols, c.stride}, a, b.from(j),
                                           depth, add);
        }
    }
}

}  // namespace detail

/// Whether multiply_few() is the faster way. Asked of a whole product, never of a part of it: the two ways round
/// differently.
template <class T, class A, class B>
bool has_few_rows(Product<T, A, B> const& product) {
    return product.a.depth_contiguous && product.c.rows <= (product.b.depth_contiguous ? kFewRows : 3);
}

/// c (=|+=) a · bᵀ in the notation of Operand, for few rows of c and an `a` that is contiguous along the depth.
template <class T, class A, class B>
[[gnu::noinline]] void multiply_few(Product<T, A, B> const& product) {
    auto const [c, a, b, depth, add] = product;
    if (!b.depth_contiguous) {
        for (index_t i = 0; i < c.rows; ++i) {
            detail::multiply_row(c.row(i), c.cols, a.at(i, 0), b, depth, add);
        }
        return;
    }
    constexpr int kMany = kVectorRegisters / 4;  // as in MicroTile
    constexpr auto kBlock =
        few_cols_unit<T>(true);  // columns: their weights stay in a cache for the next rows
    for (index_t j = 0; j < c.cols; j += kBlock) {
        for (index_t i = 0; i < c.rows;) {
            Strided<T> const out{c.row(i) + j, c.rows - i, std::min(kBlock, c.cols - j), c.stride};
            if (out.rows >= kMany) {
                detail::multiply_all_dots<kMany, kDotCols, 1>(out, a.from(i), b.from(j), depth, add);
                i += kMany;
            } else if (out.rows >= 4) {
                detail::multiply_all_dots<4, kDotCols, 1>(out, a.from(i), b.from(j), depth, add);
                i += 4;
            } else {
                detail::multiply_all_dots<1, 1, 8>(out, a.from(i), b.from(j), depth, add);
                i += 1;
            }
        }
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
