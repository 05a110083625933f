// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_EIGEN_SOFTMAX_HPP
#define DEEPSEEK_BACKEND_CPU_EIGEN_SOFTMAX_HPP

#include <deepseek/backend/cpu/eigen_product.hpp>
#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace deepseek::inline DEEPSEEK_ABI::cpu::detail {

/// to [rows, cols of from] with rows `stride` apart, as S.
template <class S, class T>
void copy_block(S* to, Strided<T> from, index_t stride) {
    for (index_t i = 0; i < from.rows; ++i) {
        for (index_t c = 0; c < from.cols; ++c) {
            to[i * stride + c] = convert<S>(from.row(i)[c]);
        }
    }
}

template <class T, class S>
void round_row(T* to, S const* from, index_t count) {
    std::transform(from, from + count, to, [](S x) { return convert<T>(x); });
}

// Small products of matrices that lie in a workspace, rows at a stride. All go through multiply_by_eigen's rule for tiny ones.

/// c [m, n] = a [m, k] · b [n, k]ᵀ.
template <class S>
void assign_product(S* c, index_t c_stride, S const* a, index_t a_stride, S const* b, index_t b_stride,
                    index_t m, index_t n, index_t k) {
    Product<S, S, S> const product{{c, m, n, c_stride}, {a, a_stride, true}, {b, b_stride, true}, k, false};
    multiply_block_by_eigen(product);
}
/// c [m, n] += a [m, k] · b [k, n].
template <class S>
void add_product(S* c, index_t c_stride, S const* a, index_t a_stride, S const* b, index_t b_stride,
                 index_t m, index_t n, index_t k) {
    Product<S, S, S> const product{{c, m, n, c_stride}, {a, a_stride, true}, {b, b_stride, false}, k, true};
    multiply_block_by_eigen(product);
}
/// c [m, n] += a [k, m]ᵀ · b [k, n].
template <class S>
void add_product_of_transpose(S* c, index_t c_stride, S const* a, index_t a_stride, S const* b,
                              index_t b_stride, index_t m, index_t n, index_t k) {
    Product<S, S, S> const product{{c, m, n, c_stride}, {a, a_stride, false}, {b, b_stride, false}, k, true};
    multiply_block_by_eigen(product);
}

/// softmax(factor · scores) · values in one pass over blocks of keys (Dao et al. 2022, FlashAttention), for some rows.
/// Sums are kept relative to the largest score so far, and made relative to a larger one when it comes.
template <class S>
class EigenSoftmax {
public:
    static constexpr S kNothing = -std::numeric_limits<S>::infinity();

    /// How many elements a state needs.
    static constexpr index_t size(index_t rows, index_t width) { return rows * (width + 2); }

    /// The state in the memory at `state`; a new one unless it is to be continued.
    EigenSoftmax(S* state, index_t rows, index_t width, bool fresh = true)
        : width_(width), rows_(rows), sums_(state), largest_(sums_ + rows * width), total_(largest_ + rows) {
        if (fresh) {
            std::fill_n(sums_, rows * width, S{0});
            std::fill_n(largest_, rows, kNothing);
            std::fill_n(total_, rows, S{0});
        }
    }

    /// Takes in scores [rows, count] and values [count, width]; row i sees the first seen(i) of them. adjust(i, weights)
    /// may change weights after they have been added up, for dropout. Overwrites the scores.
    template <class Seen, class Adjust>
    void add(S* scores, index_t stride, S const* values, index_t count, S factor, Seen const& seen,
             Adjust const& adjust) {
        for (index_t i = 0; i < rows_; ++i) {
            auto* const row = scores + i * stride;
            auto const visible = seen(i);
            rows::sweep(
                visible, kNothing, [=](auto x) { x *= factor; }, row);
            auto const now = std::max(largest_[i], rows::largest(row, visible));
            // Where nothing was seen yet any base will do, but -inf less -inf would be NaN.
            auto const base = now == kNothing ? S{0} : now;
            auto const correction = largest_[i] == kNothing ? S{0} : std::exp(largest_[i] - base);
            rows::Sum<S> sum;
            rows::sweep(
                visible, kNothing,
                [&](auto x) {
                    rows::Values<S> const weight = rows::exponential(x, base);
                    sum += weight;
                    x = weight;
                },
                row);
            std::fill(row + visible, row + count, S{0});
            adjust(i, row);
            total_[i] = total_[i] * correction + sum.total();
            largest_[i] = now;
            scale_sums(i, correction);
        }
        add_product(sums_, width_, static_cast<S const*>(scores), stride, values, width_, rows_, width_,
                    count);
    }

    /// Takes in what another state with the same rows has seen.
    void merge(EigenSoftmax const& other) {
        for (index_t i = 0; i < rows_; ++i) {
            auto const now = std::max(largest_[i], other.largest_[i]);
            auto const base = now == kNothing ? S{0} : now;
            auto const weight_of = [&](S largest) {
                return largest == kNothing ? S{0} : std::exp(largest - base);
            };
            auto const theirs = weight_of(other.largest_[i]);
            auto const mine = weight_of(largest_[i]);
            scale_sums(i, mine);
            rows::sweep(
                width_, S{0}, [=](auto to, auto const& from) { to += theirs * from; }, sums_ + i * width_,
                static_cast<S const*>(other.sums_ + i * width_));
            total_[i] = total_[i] * mine + other.total_[i] * theirs;
            largest_[i] = now;
        }
    }

    S log_sum_exp(index_t i) const { return total_[i] == 0 ? kNothing : largest_[i] + std::log(total_[i]); }
    /// The averaged values of a row; zeros if it saw nothing.
    template <class T>
    void write(index_t i, T* to) const {
        auto const inverse = total_[i] == 0 ? S{0} : 1 / total_[i];
        std::transform(sums_ + i * width_, sums_ + (i + 1) * width_, to,
                       [=](S sum) { return convert<T>(sum * inverse); });
    }

private:
    void scale_sums(index_t i, S factor) {
        rows::sweep(
            width_, S{0}, [=](auto x) { x *= factor; }, sums_ + i * width_);
    }

    index_t width_;
    index_t rows_;
    S* sums_;     // [rows, width]
    S* largest_;  // [rows]
    S* total_;    // [rows]
};

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::detail

#endif
