// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_EIGEN_PRODUCT_HPP
#define DEEPSEEK_BACKEND_CPU_EIGEN_PRODUCT_HPP

#include <deepseek/backend/cpu/eigen.hpp>
#include <deepseek/backend/cpu/product.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <type_traits>
#include <utility>

// Products by Eigen, block by block. Blocks have fixed places and extents in the whole product, so an element is the same
// bits whatever tile, thread or address it is computed in; and they are small enough for Eigen to keep its packed copies
// on the stack, so it allocates nothing.

namespace deepseek::inline DEEPSEEK_ABI::cpu {

/// Rows and columns of a block. A tile of a product begins at multiples of it.
inline constexpr index_t kEigenSide = 128;
/// Steps of depth of a block: packed, it takes the 128 KiB that Eigen puts on the stack.
template <class S>
inline constexpr index_t kEigenDepth = (index_t{128} << 10) / kEigenSide / static_cast<index_t>(sizeof(S));

namespace detail {

template <class T>
auto matrix_at(T* data, index_t rows, index_t cols, index_t stride) {
    using Plain = Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using Seen = std::conditional_t<std::is_const_v<T>, Plain const, Plain>;
    return Eigen::Map<Seen, Eigen::Unaligned, Eigen::OuterStride<>>(data, rows, cols,
                                                                    Eigen::OuterStride<>(stride));
}

// Elements [kept, kept + count) x [p, p + depth) of an operand as a matrix of S: where they are, or as a copy, so that
// Eigen's product is compiled once and not for every way that factors may lie. `copy` is [count, depth].
template <class S, class A>
auto block_of(Operand<A> const& from, index_t kept, index_t count, index_t p, index_t depth, S* copy) {
    if constexpr (std::is_same_v<S, A>) {
        if (from.depth_contiguous) {
            return matrix_at(from.at(kept, p), count, depth, from.stride);
        }
    }
    auto const* const first = from.at(kept, p);
    auto const [along_kept, along_depth] =
        from.depth_contiguous ? std::pair(from.stride, index_t{1}) : std::pair(index_t{1}, from.stride);
    constexpr index_t kStrip = 16;  // lines of memory at a time
    for (index_t begin = 0; begin < count; begin += kStrip) {
        auto const end = std::min(begin + kStrip, count);
        for (index_t d = 0; d < depth; ++d) {
            for (auto i = begin; i < end; ++i) {
                copy[i * depth + d] = convert<S>(first[i * along_kept + d * along_depth]);
            }
        }
    }
    return matrix_at<S const>(copy, count, depth, depth);
}

// Eigen sums products as small as these in an order that depends on the address.
inline bool is_tiny(index_t rows, index_t cols, index_t depth) { return rows + cols + depth < 20; }
template <class S, class A, class B>
void multiply_tiny(Product<S, A, B> const& product) {
    auto const& c = product.c;
    for (index_t i = 0; i < c.rows; ++i) {
        for (index_t j = 0; j < c.cols; ++j) {
            S sum = product.add ? c.row(i)[j] : S{0};
            for (index_t p = 0; p < product.depth; ++p) {
                sum += convert<S>(*product.a.at(i, p)) * convert<S>(*product.b.at(j, p));
            }
            c.row(i)[j] = sum;
        }
    }
}

// A product of one block: no wider than Eigen takes without allocating, of one type.
template <class S>
void multiply_block_by_eigen(Product<S, S, S> const& product) {
    auto const& [c, a, b, depth, add] = product;
    if (is_tiny(c.rows, c.cols, depth)) {
        return multiply_tiny(product);
    }
    auto to = matrix_at(c.data, c.rows, c.cols, c.stride);
    if (!add) {
        to.setZero();
    }
    auto const with = [steps = depth](Operand<S> const& from, index_t count, auto const& f) {
        if (from.depth_contiguous) {
            f(matrix_at(from.data, count, steps, from.stride));
        } else {
            f(matrix_at(from.data, steps, count, from.stride).transpose());
        }
    };
    with(a, c.rows, [&, &right_factor = b, cols = c.cols](auto const& left) {
        with(right_factor, cols, [&](auto const& right) { to.noalias() += left * right.transpose(); });
    });
}

}  // namespace detail

/// c (=|+=) a · bᵀ in the notation of Operand, by Eigen.
template <class S, class A, class B>
[[gnu::noinline]] void multiply_by_eigen(Product<S, A, B> const& product, Workspace& workspace) {
    auto const& [c, a, b, depth, add] = product;
    if (detail::is_tiny(c.rows, c.cols, depth)) {
        return detail::multiply_tiny(product);
    }
    if (!add) {
        detail::matrix_at(c.data, c.rows, c.cols, c.stride).setZero();
    }
    constexpr auto kBlock = kEigenSide * kEigenDepth<S>;
    auto const scope = workspace.scope();
    auto* const copy_a = std::is_same_v<S, A> && a.depth_contiguous ? nullptr : workspace.take<S>(kBlock);
    auto* const copy_b = std::is_same_v<S, B> && b.depth_contiguous ? nullptr : workspace.take<S>(kBlock);
    for (index_t j = 0; j < c.cols; j += kEigenSide) {
        auto const cols = std::min(kEigenSide, c.cols - j);
        for (index_t p = 0; p < depth; p += kEigenDepth<S>) {
            auto const steps = std::min(kEigenDepth<S>, depth - p);
            auto const right = detail::block_of(b, j, cols, p, steps, copy_b);
            for (index_t i = 0; i < c.rows; i += kEigenSide) {
                auto const rows = std::min(kEigenSide, c.rows - i);
                auto const left = detail::block_of(a, i, rows, p, steps, copy_a);
                auto to = detail::matrix_at(c.row(i) + j, rows, cols, c.stride);
                to.noalias() += left * right.transpose();
            }
        }
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
