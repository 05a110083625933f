// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_GROUPED_MATMUL_HPP
#define DEEPSEEK_OPS_REFERENCE_GROUPED_MATMUL_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// out_g (=|+=) in_g · w_gᵀ, or in_g · w_g, for groups of rows. One call is one element of out.
template <class T, class A, class W>
struct GroupedMatmul {
    using Sum = accumulate_t<T>;

    Strided<T> out;
    Strided<A const> in;
    Strided<W const> weights;  ///< a matrix per group, one below the other
    std::int32_t const* offsets;
    index_t groups;
    bool transposed;
    bool add;

    DEEPSEEK_HD void operator()(index_t element) const {
        auto const row = element / out.cols;
        auto const j = element % out.cols;
        index_t group = 0;
        while (offsets[group + 1] <= row) {
            ++group;
        }
        auto const first = group * (weights.rows / groups);
        Sum sum = 0;
        for (index_t p = 0; p < in.cols; ++p) {
            sum += convert<Sum>(in.row(row)[p]) *
                   convert<Sum>(transposed ? weights.row(first + j)[p] : weights.row(first + p)[j]);
        }
        auto& to = out.row(row)[j];
        to = convert<T>(add ? convert<Sum>(to) + sum : sum);
    }
};

/// w_g (=|+=) a_gᵀ · b_g. One call is one element of all the w.
template <class T, class A, class X>
struct GroupedGradient {
    using Sum = accumulate_t<T>;

    Strided<T> weights;  ///< a matrix per group, one below the other
    Strided<A const> a;
    Strided<X const> b;
    std::int32_t const* offsets;
    bool add;

    DEEPSEEK_HD void operator()(index_t element) const {
        auto const i = element / weights.cols;
        auto const j = element % weights.cols;
        auto const group = i / a.cols;
        Sum sum = 0;
        for (index_t row = offsets[group]; row < offsets[group + 1]; ++row) {
            sum += convert<Sum>(a.row(row)[i % a.cols]) * convert<Sum>(b.row(row)[j]);
        }
        auto& to = weights.row(i)[j];
        to = convert<T>(add ? convert<Sum>(to) + sum : sum);
    }
};

}  // namespace loop

template <class B, class T, class A, class W>
void reference(GroupedMatmulNt, B& be, Strided<T> y, Strided<A const> x, Strided<W const> w,
               std::int32_t const* offsets, index_t groups, bool add) {
    be.for_each(y.rows * y.cols, x.cols, loop::GroupedMatmul<T, A, W>{y, x, w, offsets, groups, true, add});
}

template <class B, class T, class A, class W>
void reference(GroupedMatmulNn, B& be, Strided<T> dx, Strided<A const> dy, Strided<W const> w,
               std::int32_t const* offsets, index_t groups, bool add) {
    be.for_each(dx.rows * dx.cols, dy.cols,
                loop::GroupedMatmul<T, A, W>{dx, dy, w, offsets, groups, false, add});
}

template <class B, class T, class A, class X>
void reference(GroupedMatmulTn, B& be, Strided<T> dw, Strided<A const> dy, Strided<X const> x,
               std::int32_t const* offsets, index_t groups, bool add) {
    be.for_each(dw.rows * dw.cols, dy.rows / groups + 1,
                loop::GroupedGradient<T, A, X>{dw, dy, x, offsets, add});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
