// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_DROPOUT_HPP
#define DEEPSEEK_OPS_GENERIC_DROPOUT_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/view.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

/// One call is one row.
template <class T, index_t C>
struct DropoutRow {
    Rows<T, C> x;
    Dropout dropout;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const v = x.row(row);
        auto const mask = dropout;
        auto const first = static_cast<std::uint64_t>(row * C);
        for (index_t c = 0; c < C; ++c) {
            v[c] *= mask.template factor<T>(first + static_cast<std::uint64_t>(c));
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
