// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_KERNELS_CROSS_ENTROPY_HPP
#define DEEPSEEK_KERNELS_CROSS_ENTROPY_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/portable.hpp>
#include <deepseek/kernels/block.hpp>

#include <cmath>

namespace deepseek::inline DEEPSEEK_ABI::kernels {

/// Shared memory of softmax_of_row.
template <class Sum, int Threads>
struct SoftmaxMemory {
    WarpValues<Sum, Threads> tops;
    WarpValues<double, Threads> sums;
};

/// The largest logit of a row and the sum of e^(logit - largest), by a whole block.
template <class Sum>
struct SoftmaxRow {
    Sum top;
    double sum;

    template <class T, class Block>
    DEEPSEEK_HD static SoftmaxRow of(Block& block, SoftmaxMemory<Sum, Block::kThreads>& memory,
                                     T const* logits, index_t count) {
        SoftmaxRow row{-detail::kInfinity<Sum>, 0};
        for (index_t i = block.thread(); i < count; i += Block::kThreads) {
            row.top = larger(row.top, convert<Sum>(logits[i]));
        }
        row.top = block_max(block, memory.tops, row.top);
        for (index_t i = block.thread(); i < count; i += Block::kThreads) {
            row.sum += static_cast<double>(std::exp(convert<Sum>(logits[i]) - row.top));
        }
        row.sum = block_sum(block, memory.sums, row.sum);
        return row;
    }
    DEEPSEEK_HD Sum loss(Sum logit) const {
        return static_cast<Sum>(std::log(sum) + (static_cast<double>(top) - static_cast<double>(logit)));
    }
};

/// One block is one row.
template <class T>
struct CrossEntropyLoss {
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = 256;
    using Shared = SoftmaxMemory<Sum, kThreads>;

    Strided<T const> logits;
    Token const* targets;
    Strided<Sum> loss;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const row = block.index();
        auto const* const x = logits.row(row);
        auto const target = index_t{targets[row]};
        Sum result = 0;
        if (target >= 0) {
            auto const softmax = SoftmaxRow<Sum>::of(block, block.shared(), x, logits.cols);
            result = softmax.loss(convert<Sum>(x[target]));
        }
        if (block.thread() == 0) {
            loss.row(row)[0] = result;
        }
    }
};

/// One block is one row: the loss, and in place its gradient times `scale`.
template <class T>
struct CrossEntropy {
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = 256;
    using Shared = SoftmaxMemory<Sum, kThreads>;

    Strided<T> logits;
    Token const* targets;
    Strided<Sum> loss;
    Sum scale;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const row = block.index();
        auto* const x = logits.row(row);
        auto const target = index_t{targets[row]};
        if (target < 0) {
            if (block.thread() == 0) {
                loss.row(row)[0] = 0;
            }
            for (index_t i = block.thread(); i < logits.cols; i += kThreads) {
                x[i] = convert<T>(Sum{0});
            }
            return;
        }
        auto const logit = convert<Sum>(x[target]);  // before another thread overwrites it
        auto const softmax = SoftmaxRow<Sum>::of(block, block.shared(), x, logits.cols);
        if (block.thread() == 0) {
            loss.row(row)[0] = softmax.loss(logit);
        }
        auto const factor = static_cast<Sum>(static_cast<double>(scale) / softmax.sum);
        for (index_t i = block.thread(); i < logits.cols; i += kThreads) {
            auto const probability = std::exp(convert<Sum>(x[i]) - softmax.top) * factor;
            x[i] = convert<T>(i == target ? probability - scale : probability);
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::kernels

#endif
