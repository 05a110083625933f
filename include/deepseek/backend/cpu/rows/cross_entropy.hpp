// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_CROSS_ENTROPY_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_CROSS_ENTROPY_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <span>

// A row of logits is long (a vocabulary), so it is worked on in blocks that stay in the first-level cache between the
// search for the block's largest logit and its exponentials.

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

inline constexpr index_t kSoftmaxBlock = 1024;

// Largest of a block, or 0 where all of it is -infinity: then every exponential is 0 instead of NaN.
template <class T>
T block_top(T const* x, index_t count) {
    auto const top = largest(x, count);
    return top == -std::numeric_limits<T>::infinity() ? T{0} : top;
}

// e^(x - top): 0 below the smallest normal number, where Eigen 3.4 stays above it. NaN stays NaN, because Eigen keeps the
// left one of two operands then.
template <class T, class X>
auto exponential(X const& x, T top) {
    return ((x - top).exp() - std::numeric_limits<T>::min()).max(T{0});
}

// log(sum of e^x over the row) - x[target].
template <class T>
T cross_entropy_loss(T const* x, index_t count, index_t target) {
    double top = static_cast<double>(block_top(x, std::min(count, kSoftmaxBlock)));
    double sum = 0;  // of e^(x - top) so far
    for (index_t begin = 0; begin < count; begin += kSoftmaxBlock) {
        auto const size = std::min(kSoftmaxBlock, count - begin);
        auto const larger = std::max(static_cast<T>(top), block_top(x + begin, size));
        Sum<T> part;
        sweep<T>(
            size, -std::numeric_limits<T>::infinity(), [&](auto const& v) { part += exponential(v, larger); },
            x + begin);
        sum = sum * std::exp(top - static_cast<double>(larger)) + static_cast<double>(part.total());
        top = static_cast<double>(larger);
    }
    return static_cast<T>(std::log(sum) + (top - static_cast<double>(x[target])));
}

// The loss, and in place its gradient times scale. First each block becomes e^(x - its own largest), which is remembered;
// then, with the row's sum known, one factor per block makes it the gradient. Two passes and one exponential per logit.
// tops, sums: one per block.
template <class T>
T cross_entropy(T* x, index_t count, index_t target, T scale, std::span<double> tops,
                std::span<double> sums) {
    auto const logit = static_cast<double>(x[target]);
    auto top = -std::numeric_limits<double>::infinity();
    for (std::size_t b = 0; b < tops.size(); ++b) {
        auto* const block = x + static_cast<index_t>(b) * kSoftmaxBlock;
        auto const size = std::min(kSoftmaxBlock, count - static_cast<index_t>(b) * kSoftmaxBlock);
        auto const local = block_top(block, size);
        Sum<T> sum;
        sweep<T>(
            size, -std::numeric_limits<T>::infinity(),
            [&](auto v) {
                Values<T> const e = exponential(v, local);
                sum += e;
                v = e;
            },
            block);
        tops[b] = static_cast<double>(local);
        sums[b] = static_cast<double>(sum.total());
        top = std::max(top, tops[b]);
    }
    double total = 0;
    for (std::size_t b = 0; b < tops.size(); ++b) {
        tops[b] = std::exp(tops[b] - top);
        total += sums[b] * tops[b];
    }
    for (std::size_t b = 0; b < tops.size(); ++b) {
        auto const factor = static_cast<T>(tops[b] / total * static_cast<double>(scale));
        sweep<T>(
            std::min(kSoftmaxBlock, count - static_cast<index_t>(b) * kSoftmaxBlock), T{0},
            [=](auto v) { v *= factor; }, x + static_cast<index_t>(b) * kSoftmaxBlock);
    }
    x[target] -= scale;
    return static_cast<T>(std::log(total) + (top - logit));
}

}  // namespace cpu::rows

template <std::same_as<Cpu> B, std::floating_point T, index_t V>
void cross_entropy_impl(B& be, Rows<T, V> logits, Token const* targets, Rows<T, 1> loss, T scale) {
    be.for_each(logits.rows, 4 * V, [=](index_t row) {
        if (targets[row] < 0) {
            loss.row(row)[0] = 0;
            std::fill_n(logits.row(row), V, T{0});
            return;
        }
        double tops[ceil_div(V, cpu::rows::kSoftmaxBlock)];
        double sums[ceil_div(V, cpu::rows::kSoftmaxBlock)];
        loss.row(row)[0] =
            cpu::rows::cross_entropy<T>(logits.row(row), V, index_t{targets[row]}, scale, tops, sums);
    });
}

template <std::same_as<Cpu> B, std::floating_point T, index_t V>
void cross_entropy_loss_impl(B& be, Rows<T const, V> logits, Token const* targets, Rows<T, 1> loss) {
    be.for_each(logits.rows, 3 * V, [=](index_t row) {
        loss.row(row)[0] = targets[row] < 0
                               ? T{0}
                               : cpu::rows::cross_entropy_loss<T>(logits.row(row), V, index_t{targets[row]});
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
