// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_DROPOUT_HPP
#define DEEPSEEK_OPS_REFERENCE_DROPOUT_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/view.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call is one row.
template <class T>
struct ApplyDropout {
    using Sum = accumulate_t<T>;

    Strided<T> x;
    Dropout dropout;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const mask = dropout;
        auto const first = static_cast<std::uint64_t>(row * x.cols);
        for (index_t c = 0; c < x.cols; ++c) {
            auto const factor = mask.template factor<Sum>(first + static_cast<std::uint64_t>(c));
            x.row(row)[c] = convert<T>(convert<Sum>(x.row(row)[c]) * factor);
        }
    }
};

}  // namespace loop

template <class B, class T>
void reference(ApplyDropout, B& be, Strided<T> x, Dropout const& dropout) {
    be.for_each(x.rows, 4 * x.cols, loop::ApplyDropout<T>{x, dropout});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
