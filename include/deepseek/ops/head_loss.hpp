// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_HEAD_LOSS_HPP
#define DEEPSEEK_OPS_HEAD_LOSS_HPP

#include <deepseek/core/batch.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/head_loss.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::ops {

// The end of a language model: the scores of all tokens of the vocabulary, and the loss of the one that came. Composite
// operations: scores are the largest activation there is, and a backend that has the whole need not write them twice.

/// scores = h · wᵀ, loss = cross_entropy_loss(scores, targets).
///
/// Shapes:    loss [rows, 1], written; scores [rows, V]: memory of the caller, contents afterwards unspecified;
///            h [rows, In]; w [V, In]; targets [rows], below V; a negative one is ignored
/// Units:     nats, not scaled
/// Precision: as matmul_nt and cross_entropy_loss
/// Errors:    ShapeError if the row counts differ
template <class B, class T, class H, class W, index_t In, index_t V>
void head_loss(B& be, Rows<accumulate_t<T>, 1> loss, Rows<T, V> scores, Rows<H, In> h, Matrix<W, V, In> w,
               Token const* targets) {
    static_assert(std::is_same_v<T, std::remove_const_t<H>>, "head_loss: h and scores differ in type");
    expects<ShapeError>(loss.rows == h.rows && scores.rows == h.rows, "head_loss: h has ", h.rows,
                        " rows, scores ", scores.rows, ", loss ", loss.rows);
    if (h.rows > 0) {
        call<HeadLoss>(be, loss.strided(), scores.strided(), Strided<T const>(h.strided()),
                       Strided<std::remove_const_t<W> const>(w.strided()), targets);
    }
}

/// The same with its gradients: dh = dscores · w and dw += dscoresᵀ · h, where dscores is that of cross_entropy.
///
/// Shapes:    dh [rows, In], written; dw [V, In], added to; the others as in head_loss
/// Units:     scale is what the mean loss is weighted with over the number of tokens, as in cross_entropy
/// Precision: as cross_entropy and the products; dw in the type of h or of its sums
/// Errors:    ShapeError if the row counts differ
template <class B, class T, class G, class H, class W, index_t In, index_t V>
void head_loss_backward(B& be, Rows<accumulate_t<T>, 1> loss, Rows<T, V> scores, Rows<T, In> dh,
                        Matrix<G, V, In> dw, Rows<H, In> h, Matrix<W, V, In> w, Token const* targets,
                        std::type_identity_t<accumulate_t<T>> scale) {
    static_assert(std::is_same_v<T, std::remove_const_t<H>>,
                  "head_loss_backward: h and scores differ in type");
    expects<ShapeError>(loss.rows == h.rows && scores.rows == h.rows && dh.rows == h.rows,
                        "head_loss_backward: h has ", h.rows, " rows, dh ", dh.rows, ", scores ", scores.rows,
                        ", loss ", loss.rows);
    if (h.rows > 0) {
        call<HeadLossBackward>(be, loss.strided(), scores.strided(), dh.strided(), dw.strided(),
                               Strided<T const>(h.strided()),
                               Strided<std::remove_const_t<W> const>(w.strided()), targets, scale);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
