// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_REDUCE_HPP
#define DEEPSEEK_OPS_REFERENCE_REDUCE_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/lanes.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call in all.
struct AddValue {
    double* total;
    double value;

    DEEPSEEK_HD void operator()(index_t) const { *total += value; }
};

/// One call in all.
template <class T>
struct AddSum {
    double* total;
    Strided<T const> x;
    double factor;

    DEEPSEEK_HD void operator()(index_t) const {
        auto const from = x;
        *total += factor *
                  detail::sum_of<double>(from.rows, [=](index_t i) { return convert<double>(*from.row(i)); });
    }
};

/// One call is one block: its sum of squares.
template <class T>
struct BlockSquares {
    double* partial;  ///< [blocks]
    T const* set;
    Segments segments;

    DEEPSEEK_HD void operator()(index_t number) const {
        auto const block = segments.block(number);
        auto const* const from = set + block.begin;
        partial[number] = detail::sum_of<double>(block.size, [=](index_t i) {
            auto const value = convert<double>(from[i]);
            return value * value;
        });
    }
};

/// One call in all: tensor by tensor.
struct SegmentSums {
    double* total;
    double const* partial;
    Segments segments;

    DEEPSEEK_HD void operator()(index_t) const {
        for (index_t s = 0; s < segments.count; ++s) {
            auto const segment = segments.data[s];
            auto const* const from = partial + segment.blocks_before;
            *total += detail::sum_of<double>(segment.blocks(), [=](index_t i) { return from[i]; });
        }
    }
};

}  // namespace loop

template <class B>
void reference(AddValue, B& be, double* total, double value) {
    be.for_each(1, 1, loop::AddValue{total, value});
}

template <class B, class T>
void reference(AddSum, B& be, double* total, Strided<T const> x, double factor) {
    be.for_each(1, x.rows, loop::AddSum<T>{total, x, factor});
}

template <class B, class T>
void reference(SumOfSquares, B& be, double* total, T const* set, Segments const& segments) {
    auto const scope = be.scratch().scope();
    auto* const partial = be.scratch().template take<double>(segments.blocks);
    be.for_each(segments.blocks, Segment::kBlock, loop::BlockSquares<T>{partial, set, segments});
    be.for_each(1, segments.blocks, loop::SegmentSums{total, partial, segments});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
