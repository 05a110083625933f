// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_EMBEDDING_HPP
#define DEEPSEEK_OPS_GENERIC_EMBEDDING_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

/// One call is one row.
template <class T, class W, index_t V, index_t C>
struct Embed {
    Rows<T, C> y;
    Matrix<W const, V, C> table;
    Token const* tokens;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const token = index_t{tokens[row]};
        DEEPSEEK_ASSERT(token >= 0 && token < V);
        auto* const to = y.row(row);
        auto const* const from = table.row(token);
        for (index_t c = 0; c < C; ++c) {
            to[c] = convert<T>(from[c]);
        }
    }
};

/// One call is a strip of columns, all rows in their order: a token that occurs twice gets its sums in the same order
/// whoever computes them, without atomics.
template <class G, class T, index_t V, index_t C>
struct EmbedBackward {
    static constexpr index_t kStrip = 128;

    Matrix<G, V, C> dtable;
    Rows<T const, C> dy;
    Token const* tokens;

    DEEPSEEK_HD void operator()(index_t strip) const {
        auto const begin = strip * kStrip;
        auto const width = begin + kStrip < C ? kStrip : C - begin;
        for (index_t row = 0; row < dy.rows; ++row) {
            auto const token = index_t{tokens[row]};
            DEEPSEEK_ASSERT(token >= 0 && token < V);
            auto* const to = dtable.row(token) + begin;
            auto const* const from = dy.row(row) + begin;
            for (index_t c = 0; c < width; ++c) {
                to[c] = convert<G>(convert<accumulate_t<G>>(to[c]) + convert<accumulate_t<G>>(from[c]));
            }
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
