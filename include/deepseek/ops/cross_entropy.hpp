// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_CROSS_ENTROPY_HPP
#define DEEPSEEK_OPS_CROSS_ENTROPY_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/cross_entropy.hpp>

#include <type_traits>

// Targets are checked where a batch comes in (see core/batch.hpp), not here. A negative target is ignored: its loss
// and its gradient are 0.

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Loss of every row, and in place its gradient: loss = log(sum of e^logits) - logits[target], then
/// logits = (softmax(logits) - onehot(target)) · scale. Works on as many rows as the caller has memory for.
///
/// Shapes:    logits [rows, V]; targets [rows], below V; loss [rows, 1], written, not scaled
/// Units:     nats; scale is usually the weight of one token, 1 / tokens
/// Precision: in accumulate_t; the gradient is rounded to T. Logits of -infinity have probability 0. NaN, +infinity or -infinity throughout a row give NaN
/// Errors:    ShapeError if logits and loss differ in rows
/// Cost:      reads and writes each logit twice, the second time from cache; one exponential per logit
template <class B, class T, index_t V>
void cross_entropy(B& be, Rows<T, V> logits, Token const* targets, Rows<accumulate_t<T>, 1> loss,
                   std::type_identity_t<accumulate_t<T>> scale) {
    expects<ShapeError>(logits.rows == loss.rows, "cross_entropy: logits have ", logits.rows,
                        " rows, loss has ", loss.rows);
    if (logits.rows == 0) {
        return;
    }
    call<CrossEntropy>(be, logits.strided(), targets, loss.strided(), scale);
}

/// The losses alone; logits stay.
///
/// Shapes:    logits [rows, V]; targets [rows], below V; loss [rows, 1], written
/// Errors:    ShapeError if logits and loss differ in rows
template <class B, class X, index_t V>
void cross_entropy_loss(B& be, Rows<X, V> logits, Token const* targets, Rows<accumulate_t<X>, 1> loss) {
    using T = std::remove_const_t<X>;
    expects<ShapeError>(logits.rows == loss.rows, "cross_entropy_loss: logits have ", logits.rows,
                        " rows, loss has ", loss.rows);
    if (logits.rows == 0) {
        return;
    }
    call<CrossEntropyLoss>(be, Strided<T const>(logits.strided()), targets, loss.strided());
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
