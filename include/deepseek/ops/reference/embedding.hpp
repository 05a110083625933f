// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_EMBEDDING_HPP
#define DEEPSEEK_OPS_REFERENCE_EMBEDDING_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call is one row.
template <class T, class W>
struct Embed {
    Strided<T> y;
    Strided<W const> table;
    Token const* tokens;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const token = index_t{tokens[row]};
        DEEPSEEK_ASSERT(token >= 0 && token < table.rows);
        for (index_t c = 0; c < y.cols; ++c) {
            y.row(row)[c] = convert<T>(table.row(token)[c]);
        }
    }
};

/// One call is one column, all rows in their order: a token that occurs twice gets its sums in the same order whoever
/// computes them, without atomics.
template <class G, class T>
struct EmbedBackward {
    using Sum = accumulate_t<G>;

    Strided<G> dtable;
    Strided<T const> dy;
    Token const* tokens;

    DEEPSEEK_HD void operator()(index_t c) const {
        for (index_t row = 0; row < dy.rows; ++row) {
            auto const token = index_t{tokens[row]};
            DEEPSEEK_ASSERT(token >= 0 && token < dtable.rows);
            auto& to = dtable.row(token)[c];
            to = convert<G>(convert<Sum>(to) + convert<Sum>(dy.row(row)[c]));
        }
    }
};

}  // namespace loop

template <class B, class T, class W>
void reference(Embed, B& be, Strided<T> y, Strided<W const> table, Token const* tokens) {
    be.for_each(y.rows, y.cols, loop::Embed<T, W>{y, table, tokens});
}

template <class B, class G, class T>
void reference(EmbedBackward, B& be, Strided<G> dtable, Strided<T const> dy, Token const* tokens) {
    be.for_each(dy.cols, dy.rows, loop::EmbedBackward<G, T>{dtable, dy, tokens});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
