// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_REDUCE_HPP
#define DEEPSEEK_OPS_REFERENCE_REDUCE_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/core/view.hpp>

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
        double sum = 0;
        for (index_t i = 0; i < x.rows; ++i) {
            sum += convert<double>(*x.row(i));
        }
        *total += factor * sum;
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
        double sum = 0;
        for (index_t i = 0; i < block.size; ++i) {
            sum += convert<double>(from[i]) * convert<double>(from[i]);
        }
        partial[number] = sum;
    }
};

/// One call in all.
struct AddBlocks {
    double* total;
    double const* partial;  ///< [blocks]
    index_t blocks;

    DEEPSEEK_HD void operator()(index_t) const {
        double sum = 0;
        for (index_t i = 0; i < blocks; ++i) {
            sum += partial[i];
        }
        *total += sum;
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
    be.for_each(1, segments.blocks, loop::AddBlocks{total, partial, segments.blocks});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
