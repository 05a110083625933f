// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_CROSS_ENTROPY_HPP
#define DEEPSEEK_OPS_REFERENCE_CROSS_ENTROPY_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cmath>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// The largest logit of a row and the sum of e^(logit - largest).
template <class T>
struct SoftmaxRow {
    using Sum = accumulate_t<T>;

    Sum top;
    double sum = 0;

    DEEPSEEK_HD SoftmaxRow(T const* logits, index_t count) : top(convert<Sum>(logits[0])) {
        for (index_t i = 1; i < count; ++i) {
            auto const logit = convert<Sum>(logits[i]);
            top = logit > top ? logit : top;
        }
        for (index_t i = 0; i < count; ++i) {
            sum += static_cast<double>(std::exp(convert<Sum>(logits[i]) - top));
        }
    }
    DEEPSEEK_HD Sum loss(Sum logit) const {
        return static_cast<Sum>(std::log(sum) + (static_cast<double>(top) - static_cast<double>(logit)));
    }
};

/// One call is one row.
template <class T>
struct CrossEntropyLoss {
    Strided<T const> logits;
    Token const* targets;
    Strided<accumulate_t<T>> loss;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const* const x = logits.row(row);
        auto const target = index_t{targets[row]};
        loss.row(row)[0] =
            target < 0 ? 0 : SoftmaxRow<T>(x, logits.cols).loss(convert<accumulate_t<T>>(x[target]));
    }
};

/// One call is one row: the loss, and in place its gradient times `scale`.
template <class T>
struct CrossEntropy {
    using Sum = accumulate_t<T>;

    Strided<T> logits;
    Token const* targets;
    Strided<Sum> loss;
    Sum scale;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const x = logits.row(row);
        auto const target = index_t{targets[row]};
        if (target < 0) {
            loss.row(row)[0] = 0;
            for (index_t i = 0; i < logits.cols; ++i) {
                x[i] = convert<T>(Sum{0});
            }
            return;
        }
        SoftmaxRow<T> const softmax(x, logits.cols);
        loss.row(row)[0] = softmax.loss(convert<Sum>(x[target]));
        auto const factor = static_cast<Sum>(static_cast<double>(scale) / softmax.sum);
        for (index_t i = 0; i < logits.cols; ++i) {
            auto const probability = std::exp(convert<Sum>(x[i]) - softmax.top) * factor;
            x[i] = convert<T>(i == target ? probability - scale : probability);
        }
    }
};

}  // namespace loop

template <class B, class T>
void reference(CrossEntropy, B& be, Strided<T> logits, Token const* targets, Strided<accumulate_t<T>> loss,
               accumulate_t<T> scale) {
    be.for_each(logits.rows, 4 * logits.cols, loop::CrossEntropy<T>{logits, targets, loss, scale});
}

template <class B, class T>
void reference(CrossEntropyLoss, B& be, Strided<T const> logits, Token const* targets,
               Strided<accumulate_t<T>> loss) {
    be.for_each(logits.rows, 3 * logits.cols, loop::CrossEntropyLoss<T>{logits, targets, loss});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
