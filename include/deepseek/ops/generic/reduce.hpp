// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_REDUCE_HPP
#define DEEPSEEK_OPS_GENERIC_REDUCE_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/lanes.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

/// One call is kBlock elements: their sum of squares.
template <class T>
struct SquaredBlock {
    static constexpr index_t kBlock = 8192;

    double* partial;
    T const* x;
    index_t count;

    DEEPSEEK_HD void operator()(index_t block) const {
        auto const begin = block * kBlock;
        auto const size = begin + kBlock < count ? kBlock : count - begin;
        auto const* const from = x + begin;
        partial[block] = detail::sum_of<double>(size, [=](index_t i) {
            auto const value = convert<double>(from[i]);
            return value * value;
        });
    }
};

/// One call in all.
struct AddValue {
    double* total;
    double value;

    DEEPSEEK_HD void operator()(index_t) const { *total += value; }
};

/// One call in all: total += factor · the sum of x.
template <class T>
struct AddSum {
    double* total;
    Rows<T const, 1> x;
    double factor;

    DEEPSEEK_HD void operator()(index_t) const {
        auto const from = x;
        auto const sum =
            detail::sum_of<double>(from.rows, [=](index_t i) { return convert<double>(from.row(i)[0]); });
        *total += factor * sum;
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
