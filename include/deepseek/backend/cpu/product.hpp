// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_PRODUCT_HPP
#define DEEPSEEK_BACKEND_CPU_PRODUCT_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

/// One factor of a product c[i, j] = sum over p of a[i, p] · b[j, p], whichever way it lies in memory. The index that
/// c keeps (i or j) comes first; p runs along the depth of the product.
template <class T>
struct Operand {
    T const* data = nullptr;
    index_t stride = 0;            ///< elements from one row in memory to the next
    bool depth_contiguous = true;  ///< rows in memory run along p; otherwise along the kept index

    /// The element of a kept index and a step of depth.
    T const* at(index_t kept, index_t p) const {
        return depth_contiguous ? data + kept * stride + p : data + p * stride + kept;
    }
    /// The operand from a kept index on.
    Operand from(index_t kept) const { return {at(kept, 0), stride, depth_contiguous}; }
};

/// c (=|+=) a · bᵀ in the notation of Operand.
template <class T, class A, class B>
struct Product {
    Strided<T> c;  ///< rows of a by rows of b
    Operand<A> a;
    Operand<B> b;
    index_t depth = 0;
    bool add = false;

    /// The same sums for another place to put them.
    template <class U>
    Product<U, A, B> into(Strided<U> other, bool adding) const {
        return {other, a, b, depth, adding};
    }
    /// The product of some rows of a and of b alone: a part of c.
    Product tile(index_t row, index_t rows, index_t col, index_t cols) const {
        return {{c.row(row) + col, rows, cols, c.stride}, a.from(row), b.from(col), depth, add};
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
