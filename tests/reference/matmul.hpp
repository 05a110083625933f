// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_REFERENCE_MATMUL_HPP
#define DEEPSEEK_TESTS_REFERENCE_MATMUL_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

// Matrix products by their definition, one element after the other, and how far from it rounding may lead.

namespace reference {

using deepseek::index_t;
using deepseek::Strided;

/// Numbers of both signs between 1/4 and 2 in magnitude, a different series for every seed. Rounded to bf16, so
/// they are the same in every type.
class Numbers {
public:
    explicit Numbers(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15U + 1) {}

    template <class T>
    T next() {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        auto const fraction = static_cast<float>(state_ >> 40) / static_cast<float>(1 << 24);  // [0, 1)
        auto const value = deepseek::bf16(0.25F + 1.75F * fraction);
        auto const sign = (state_ >> 39 & 1) != 0 ? -1.0F : 1.0F;
        return deepseek::convert<T>(deepseek::bf16(sign * static_cast<float>(value)));
    }

private:
    std::uint64_t state_;
};

/// A matrix with `pad` elements behind every row, and before the first and behind the last row: guards.
template <class T>
struct Guarded {
    Guarded(index_t rows, index_t cols, index_t pad, T guard)
        : view{nullptr, rows, cols, cols + pad}, pad(pad), guard(guard) {
        elements.assign(static_cast<std::size_t>(pad + rows * view.stride), guard);
        view.data = elements.data() + pad;
    }
    Guarded(Guarded const&) = delete;
    Guarded& operator=(Guarded const&) = delete;

    void fill(Numbers& numbers) {
        for (index_t i = 0; i < view.rows; ++i) {
            for (index_t j = 0; j < view.cols; ++j) {
                view.row(i)[j] = numbers.next<T>();
            }
        }
    }
    void fill(T value) {
        for (index_t i = 0; i < view.rows; ++i) {
            for (index_t j = 0; j < view.cols; ++j) {
                view.row(i)[j] = value;
            }
        }
    }
    bool guards_untouched() const {
        for (index_t i = -1; i < view.rows; ++i) {
            auto const* row = i < 0 ? elements.data() : view.row(i) + view.cols;
            for (index_t j = 0; j < pad; ++j) {
                if (row[j] != guard) {
                    return false;
                }
            }
        }
        return true;
    }
    Strided<T const> read() const { return view; }

    std::vector<T> elements;
    Strided<T> view;
    index_t pad;
    T guard;
};

/// What sums are checked in: far more digits than T.
template <class T>
using Exact = std::conditional_t<std::is_same_v<T, double>, long double, double>;

/// op(a) at (i, p).
template <class E, class T>
E element(Strided<T const> a, bool transposed, index_t i, index_t p) {
    return static_cast<E>(deepseek::convert<double>(transposed ? a.row(p)[i] : a.row(i)[p]));
}

/// The largest error of c, in units of what rounding allows, where `before` held what was there. Not a number where c
/// is none.
///
/// A sum of n products of magnitude s in all, added in any order with unit roundoff u, is off by at most
/// n u s / (1 - n u): every product passes through at most n roundings (Higham, Accuracy and Stability of Numerical
/// Algorithms, section 3.1). Adding to c is one more product.
template <class T, class A, class B>
double worst_error(Strided<T const> c, Strided<A const> a, bool transpose_a, Strided<B const> b,
                   bool transpose_b, bool add, Strided<T const> before) {
    using E = Exact<T>;
    auto const depth = transpose_a ? a.rows : a.cols;
    auto const unit = static_cast<E>(std::numeric_limits<deepseek::accumulate_t<T>>::epsilon()) / 2;
    // A sum that is kept in bf16 is rounded once more, to 8 bits.
    auto const rounding = std::is_same_v<T, deepseek::bf16> ? static_cast<E>(1) / 256 : 0;
    auto const n = static_cast<E>(depth + 1) * unit;
    E worst = 0;
    for (index_t i = 0; i < c.rows; ++i) {
        for (index_t j = 0; j < c.cols; ++j) {
            E sum = add ? static_cast<E>(deepseek::convert<double>(before.row(i)[j])) : 0;
            E size = std::abs(sum);
            for (index_t p = 0; p < depth; ++p) {
                auto const product = element<E>(a, transpose_a, i, p) * element<E>(b, !transpose_b, j, p);
                sum += product;
                size += std::abs(product);
            }
            auto const error = std::abs(static_cast<E>(deepseek::convert<double>(c.row(i)[j])) - sum);
            if (std::isnan(error)) {
                return std::numeric_limits<double>::quiet_NaN();
            }
            auto const allowed = n / (1 - n) * size * (1 + rounding) + std::abs(sum) * rounding;
            worst = std::max(worst, error == 0 ? 0 : error / allowed);
        }
    }
    return static_cast<double>(worst);
}

}  // namespace reference

#endif
