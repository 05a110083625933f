// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EIGEN_HPP
#define DEEPSEEK_EIGEN_HPP

#include <deepseek/backend/cpu/eigen.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cstddef>
#include <span>
#include <type_traits>

// Weights, activations and logits as Eigen sees them, and Eigen's vectors where spans are taken, without a copy. Extents
// that the compiler knows stay known to it. Only for memory that the host can touch: that of Cpu.

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {
// Eigen stores single columns by column, whatever one says.
template <class T, int R, int C>
using EigenMatrix = std::conditional_t<
    std::is_const_v<T>,
    Eigen::Matrix<std::remove_const_t<T>, R, C, C == 1 ? Eigen::ColMajor : Eigen::RowMajor> const,
    Eigen::Matrix<std::remove_const_t<T>, R, C, C == 1 ? Eigen::ColMajor : Eigen::RowMajor>>;
}  // namespace detail

/// A parameter as an Eigen matrix [R, C].
template <class T, index_t R, index_t C>
Eigen::Map<detail::EigenMatrix<T, static_cast<int>(R), static_cast<int>(C)>> eigen(Matrix<T, R, C> matrix) {
    return Eigen::Map<detail::EigenMatrix<T, static_cast<int>(R), static_cast<int>(C)>>(matrix.data);
}

/// Activations as an Eigen matrix [rows, C].
template <class T, index_t C>
auto eigen(Rows<T, C> rows) {
    using Plain = detail::EigenMatrix<T, Eigen::Dynamic, static_cast<int>(C)>;
    // From one row to the next: for a single column that is the inner stride.
    using Stride = std::conditional_t<C == 1, Eigen::InnerStride<>, Eigen::OuterStride<>>;
    return Eigen::Map<Plain, 0, Stride>(rows.data, rows.rows, C, Stride(rows.stride));
}

/// Anything in a row, such as logits, as an Eigen vector.
template <class T>
Eigen::Map<detail::EigenMatrix<T, Eigen::Dynamic, 1>> eigen(std::span<T> values) {
    return Eigen::Map<detail::EigenMatrix<T, Eigen::Dynamic, 1>>(values.data(),
                                                                 static_cast<Eigen::Index>(values.size()));
}

/// An Eigen vector as a span.
template <class D>
requires(D::IsVectorAtCompileTime !=
         0) std::span<typename D::Scalar const> to_span(Eigen::PlainObjectBase<D> const& vector) {
    return {vector.data(), static_cast<std::size_t>(vector.size())};
}
template <class D>
requires(D::IsVectorAtCompileTime !=
         0) std::span<typename D::Scalar> to_span(Eigen::PlainObjectBase<D>& vector) {
    return {vector.data(), static_cast<std::size_t>(vector.size())};
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
