// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_CROSS_ENTROPY_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_CROSS_ENTROPY_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <span>
#include <type_traits>

// A row of logits is long (a vocabulary), so it is worked on in blocks that stay in the first-level cache between the
// search for the block's largest logit and its exponentials.

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

inline constexpr index_t kSoftmaxBlock = 1024;

// Largest of a block, or 0 where all of it is -infinity: then every exponential is 0 instead of NaN.
template <class T>
accumulate_t<T> block_top(T const* x, index_t count) {
    using S = accumulate_t<T>;
    auto const top = largest(x, count);
    return top == -std::numeric_limits<S>::infinity() ? S{0} : top;
}

// log(sum of e^x over the row) - x[target].
template <class T>
accumulate_t<T> cross_entropy_loss(T const* x, index_t count, index_t target) {
    using S = accumulate_t<T>;
    double top = static_cast<double>(block_top(x, std::min(count, kSoftmaxBlock)));
    double sum = 0;  // of e^(x - top) so far
    for (index_t begin = 0; begin < count; begin += kSoftmaxBlock) {
        auto const size = std::min(kSoftmaxBlock, count - begin);
        auto const larger = std::max(static_cast<S>(top), block_top(x + begin, size));
        cpu::rows::Sum<S> part;
        sweep(
            size, -std::numeric_limits<S>::infinity(), [&](auto const& v) { part += exponential(v, larger); },
            x + begin);
        sum = sum * std::exp(top - static_cast<double>(larger)) + static_cast<double>(part.total());
        top = static_cast<double>(larger);
    }
    return static_cast<S>(std::log(sum) + (top - convert<double>(x[target])));
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

template <std::same_as<Cpu> B, class T>
void compute(ops::CrossEntropy, B& be, Strided<T> logits, Token const* targets, Strided<accumulate_t<T>> loss,
             accumulate_t<T> scale) {
    using S = accumulate_t<T>;
    auto const width = logits.cols;
    be.for_each(logits.rows, 4 * width, [=](index_t row, cpu::Workspace& workspace) {
        auto* const x = logits.row(row);
        if (targets[row] < 0) {
            loss.row(row)[0] = 0;
            std::fill_n(x, width, convert<T>(S{0}));
            return;
        }
        auto const scope = workspace.scope();
        auto const blocks = ceil_div(width, cpu::rows::kSoftmaxBlock);
        auto const per_block = [&] {
            return std::span(workspace.take<double>(blocks), static_cast<std::size_t>(blocks));
        };
        auto const gradient_of = [&](S* row_of_sums) {
            loss.row(row)[0] = cpu::rows::cross_entropy(row_of_sums, width, index_t{targets[row]}, scale,
                                                        per_block(), per_block());
        };
        if constexpr (std::is_same_v<T, S>) {
            gradient_of(x);
        } else {
            auto* const wide = workspace.take<S>(width);
            std::transform(x, x + width, wide, [](T logit) { return convert<S>(logit); });
            gradient_of(wide);
            std::transform(wide, wide + width, x, [](S value) { return convert<T>(value); });
        }
    });
}

template <std::same_as<Cpu> B, class T>
void compute(ops::CrossEntropyLoss, B& be, Strided<T const> logits, Token const* targets,
             Strided<accumulate_t<T>> loss) {
    using S = accumulate_t<T>;
    be.for_each(logits.rows, 3 * logits.cols, [=](index_t row) {
        loss.row(row)[0] = targets[row] < 0 ? S{0}
                                            : cpu::rows::cross_entropy_loss(logits.row(row), logits.cols,
                                                                            index_t{targets[row]});
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
