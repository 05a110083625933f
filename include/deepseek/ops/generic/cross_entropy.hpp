// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_CROSS_ENTROPY_HPP
#define DEEPSEEK_OPS_GENERIC_CROSS_ENTROPY_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/lanes.hpp>
#include <deepseek/detail/math.hpp>

#include <cmath>
#include <limits>

// One call of a body is one row. A row of logits is long (a vocabulary), so it is worked on in blocks that stay in the
// first-level cache between the search for the block's largest logit and its exponentials.

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

inline constexpr index_t kSoftmaxBlock = 1024;

// Largest of a block, or 0 where all of it is -infinity: then every exponential is 0 instead of NaN.
template <class T>
DEEPSEEK_HD T block_top(T const* x, index_t count) {
    auto const top = detail::largest(x, count, -std::numeric_limits<T>::infinity());
    return top == -std::numeric_limits<T>::infinity() ? T{0} : top;
}

// log(sum of e^x over the row) - x[target], given sum = sum of e^(x - top).
template <class T>
DEEPSEEK_HD T negative_log_likelihood(double sum, T top, T logit) {
    return static_cast<T>(std::log(sum) + (static_cast<double>(top) - static_cast<double>(logit)));
}

template <class T, index_t V>
struct CrossEntropyLoss {
    Rows<T const, V> logits;
    Token const* targets;
    Rows<T, 1> loss;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const target = index_t{targets[row]};
        DEEPSEEK_ASSERT(target < V);
        if (target < 0) {
            loss.row(row)[0] = 0;
            return;
        }
        auto const* const x = logits.row(row);
        auto top = block_top(x, V < kSoftmaxBlock ? V : kSoftmaxBlock);
        double sum = 0;  // of e^(x - top) so far
        for (index_t begin = 0; begin < V; begin += kSoftmaxBlock) {
            auto const count = begin + kSoftmaxBlock < V ? kSoftmaxBlock : V - begin;
            auto const* const block = x + begin;
            auto const larger = detail::largest(block, count, top);
            sum *= static_cast<double>(detail::exp(top - larger));
            top = larger;
            sum += static_cast<double>(
                detail::sum_of<T>(count, [=](index_t i) { return detail::exp(block[i] - larger); }));
        }
        loss.row(row)[0] = negative_log_likelihood(sum, top, x[target]);
    }
};

template <class T, index_t V>
struct CrossEntropy {
    static constexpr index_t kBlocks = ceil_div(V, kSoftmaxBlock);

    Rows<T, V> logits;
    Token const* targets;
    Rows<T, 1> loss;
    T scale;

    // First each block becomes e^(x - its own largest), which is remembered; then, with the row's sum known, one
    // factor per block makes it the gradient. Two passes and one exponential per logit.
    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const x = logits.row(row);
        auto const target = index_t{targets[row]};
        DEEPSEEK_ASSERT(target < V);
        if (target < 0) {
            loss.row(row)[0] = 0;
            for (index_t i = 0; i < V; ++i) {
                x[i] = 0;
            }
            return;
        }
        auto const logit = x[target];
        T tops[kBlocks];
        double sums[kBlocks];
        auto top = -std::numeric_limits<T>::infinity();
        for (index_t b = 0; b < kBlocks; ++b) {
            auto* const block = x + b * kSoftmaxBlock;
            auto const count = size_of(b);
            auto const local = block_top(block, count);
            tops[b] = local;
            sums[b] = static_cast<double>(detail::sum_of<T>(
                count, [=](index_t i) { return block[i] = detail::exp(block[i] - local); }));
            top = local > top ? local : top;
        }
        double sum = 0;
        for (index_t b = 0; b < kBlocks; ++b) {
            sum += sums[b] * std::exp(static_cast<double>(tops[b]) - static_cast<double>(top));
        }
        loss.row(row)[0] = negative_log_likelihood(sum, top, logit);
        for (index_t b = 0; b < kBlocks; ++b) {
            auto* const block = x + b * kSoftmaxBlock;
            auto const count = size_of(b);
            auto const distance = static_cast<double>(tops[b]) - static_cast<double>(top);
            auto const factor = static_cast<T>(std::exp(distance) / sum * static_cast<double>(scale));
            for (index_t i = 0; i < count; ++i) {
                block[i] *= factor;
            }
        }
        x[target] -= scale;
    }

private:
    static constexpr DEEPSEEK_HD index_t size_of(index_t block) {
        return block + 1 < kBlocks ? kSoftmaxBlock : V - (kBlocks - 1) * kSoftmaxBlock;
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
