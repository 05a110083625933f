// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_EMBEDDING_HPP
#define DEEPSEEK_OPS_EMBEDDING_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/embedding.hpp>

#include <type_traits>

// Token ids are checked where they come in (see core/batch.hpp and infer/session.hpp), not here: with DEEPSEEK_CHECKS an
// id outside the table is an Error, without it the behaviour is undefined.

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// y[r] = table[tokens[r]].
///
/// Shapes:    y [rows, C]; table [V, C]; tokens [rows], in [0, V)
template <class B, class T, class W, index_t V, index_t C>
void embed(B& be, Rows<T, C> y, Matrix<W, V, C> table, Token const* tokens) {
    if (y.rows == 0) {
        return;
    }
    call<Embed>(be, y.strided(), Strided<std::remove_const_t<W> const>(table.strided()), tokens);
}

/// dtable[tokens[r]] += dy[r].
///
/// Shapes:    dtable [V, C]; dy [rows, C]; tokens [rows], in [0, V)
/// Precision: the same bits for any number of threads
template <class B, class G, class T, index_t V, index_t C>
void embed_backward(B& be, Matrix<G, V, C> dtable, Rows<T, C> dy, Token const* tokens) {
    if (dy.rows == 0) {
        return;
    }
    call<EmbedBackward>(be, dtable.strided(), Strided<std::remove_const_t<T> const>(dy.strided()), tokens);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
