// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_VIEW_HPP
#define DEEPSEEK_CORE_VIEW_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {
// U is T const and T is not: what a view of T converts to. Operators of a template, because nvcc warns of others that a
// view of constants could never call.
template <class U, class T>
concept ConstOf = std::is_same_v<U, T const> && !std::is_const_v<T>;
}  // namespace detail

/// A matrix whose extents are only known at run time: what a backend sees. Non-owning, row-major.
template <class T>
struct Strided {
    T* data = nullptr;
    index_t rows = 0;
    index_t cols = 0;
    index_t stride = 0;  ///< elements from one row to the next, at least cols

    constexpr DEEPSEEK_HD T* row(index_t i) const { return data + i * stride; }
    template <detail::ConstOf<T> U>
    constexpr operator Strided<U>() const {
        return {data, rows, cols, stride};
    }
};

/// A parameter: non-owning, row-major, contiguous, both extents static. A linear weight is [out, in].
template <class T, index_t R, index_t C = 1>
struct Matrix {
    using element = T;
    static constexpr index_t rows = R;
    static constexpr index_t cols = C;
    static constexpr index_t size = R * C;

    T* data = nullptr;

    constexpr DEEPSEEK_HD T* row(index_t i) const { return data + i * C; }
    template <detail::ConstOf<T> U>
    constexpr operator Matrix<U, R, C>() const {
        return {data};
    }
    constexpr Strided<T> strided() const { return {data, R, C, C}; }
    constexpr std::remove_const_t<T> const* cdata() const { return data; }

    /// Rows [Begin, Begin + Count) as a matrix of their own.
    template <index_t Begin, index_t Count>
    constexpr Matrix<T, Count, C> slice() const {
        static_assert(Begin >= 0 && Begin + Count <= R, "Matrix::slice: outside the matrix");
        return {data + Begin * C};
    }
};

/// Activations [rows, C]: non-owning, run-time number of rows, static width, row stride.
template <class T, index_t C>
struct Rows {
    using element = T;
    static constexpr index_t cols = C;

    T* data = nullptr;
    index_t rows = 0;
    index_t stride = C;

    constexpr DEEPSEEK_HD T* row(index_t i) const { return data + i * stride; }
    template <detail::ConstOf<T> U>
    constexpr operator Rows<U, C>() const {
        return {data, rows, stride};
    }
    constexpr Strided<T> strided() const { return {data, rows, C, stride}; }

    /// Rows [begin, begin + count).
    constexpr Rows slice(index_t begin, index_t count) const { return {row(begin), count, stride}; }

    /// Columns [Begin, Begin + Width) of every row.
    template <index_t Begin, index_t Width>
    constexpr Rows<T, Width> columns() const {
        static_assert(Begin >= 0 && Begin + Width <= C, "Rows::columns: outside the row");
        return {data + Begin, rows, stride};
    }

    /// The same memory as rows of another width: [rows, C] seen as [rows * C / Width, Width].
    ///
    /// Errors:    ShapeError if the rows are not contiguous
    template <index_t Width>
    constexpr Rows<T, Width> reshape() const {
        static_assert(C % Width == 0 || Width % C == 0, "Rows::reshape: one width must divide the other");
        expects<ShapeError>(stride == C && rows * C % Width == 0, "Rows::reshape: rows are not contiguous");
        return {data, rows * C / Width, Width};
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
