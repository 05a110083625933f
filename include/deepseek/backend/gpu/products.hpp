// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_PRODUCTS_HPP
#define DEEPSEEK_BACKEND_GPU_PRODUCTS_HPP

#include <deepseek/backend/gpu/backend.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cstdint>
#include <type_traits>

// Matrix products as their definition: a call of a body is one element of the result. Slow, and right on any device.

namespace deepseek::inline DEEPSEEK_ABI {

namespace gpu {

template <class C>
DEEPSEEK_HD void write_sum(C& to, accumulate_t<C> sum, bool add) {
    to = convert<C>(add ? convert<accumulate_t<C>>(to) + sum : sum);
}

/// out (=|+=) op(a) · op(b).
template <class C, class A, class W>
struct Product {
    using Sum = accumulate_t<C>;

    Strided<C> out;
    Strided<A const> a;
    Strided<W const> b;
    index_t depth;
    bool transpose_a;
    bool transpose_b;
    bool add;

    DEEPSEEK_HD void operator()(index_t element) const {
        auto const row = element / out.cols;
        auto const col = element % out.cols;
        Sum sum = 0;
        for (index_t k = 0; k < depth; ++k) {
            auto const left = transpose_a ? a.row(k)[row] : a.row(row)[k];
            auto const right = transpose_b ? b.row(col)[k] : b.row(k)[col];
            sum += convert<Sum>(left) * convert<Sum>(right);
        }
        write_sum(out.row(row)[col], sum, add);
    }
};

/// out_g (=|+=) in_g · op(w_g): every row with the matrix of its group. The offsets are read where the loop runs, so
/// that nobody waits for them.
template <class C, class A, class W>
struct GroupedProduct {
    using Sum = accumulate_t<C>;

    Strided<C> out;
    Strided<A const> in;
    Strided<W const> weight;
    std::int32_t const* offsets;
    index_t groups;
    bool transpose;
    bool add;

    DEEPSEEK_HD void operator()(index_t element) const {
        auto const row = element / out.cols;
        auto const col = element % out.cols;
        index_t group = 0;
        while (group + 1 < groups && offsets[group + 1] <= row) {
            ++group;
        }
        auto const first = group * (weight.rows / groups);
        Sum sum = 0;
        for (index_t k = 0; k < in.cols; ++k) {
            auto const right = transpose ? weight.row(first + col)[k] : weight.row(first + k)[col];
            sum += convert<Sum>(in.row(row)[k]) * convert<Sum>(right);
        }
        write_sum(out.row(row)[col], sum, add);
    }
};

/// out_g (=|+=) a_gᵀ · b_g: the groups' products one below the other.
template <class C, class A, class X>
struct GroupedOuterProduct {
    using Sum = accumulate_t<C>;

    Strided<C> out;
    Strided<A const> a;
    Strided<X const> b;
    std::int32_t const* offsets;
    index_t groups;
    bool add;

    DEEPSEEK_HD void operator()(index_t element) const {
        auto const row = element / out.cols;
        auto const col = element % out.cols;
        auto const height = out.rows / groups;
        auto const group = row / height;
        Sum sum = 0;
        for (index_t k = offsets[group]; k < offsets[group + 1]; ++k) {
            sum += convert<Sum>(a.row(k)[row % height]) * convert<Sum>(b.row(k)[col]);
        }
        write_sum(out.row(row)[col], sum, add);
    }
};

}  // namespace gpu

template <class D, class C, class A, class W>
void matmul_impl(Gpu<D>& be, Strided<C> out, Strided<A> a, bool transpose_a, Strided<W> b, bool transpose_b,
                 bool add) {
    auto const depth = transpose_a ? a.rows : a.cols;
    using Body = gpu::Product<C, std::remove_const_t<A>, std::remove_const_t<W>>;
    be.for_each(out.rows * out.cols, depth, Body{out, a, b, depth, transpose_a, transpose_b, add});
}

template <class D, class C, class A, class W>
void grouped_matmul_nt_impl(Gpu<D>& be, Strided<C> out, Strided<A> in, Strided<W> weight,
                            std::int32_t const* offsets, index_t groups, bool add) {
    using Body = gpu::GroupedProduct<C, std::remove_const_t<A>, std::remove_const_t<W>>;
    be.for_each(out.rows * out.cols, in.cols, Body{out, in, weight, offsets, groups, true, add});
}

template <class D, class C, class A, class W>
void grouped_matmul_nn_impl(Gpu<D>& be, Strided<C> out, Strided<A> in, Strided<W> weight,
                            std::int32_t const* offsets, index_t groups, bool add) {
    using Body = gpu::GroupedProduct<C, std::remove_const_t<A>, std::remove_const_t<W>>;
    be.for_each(out.rows * out.cols, in.cols, Body{out, in, weight, offsets, groups, false, add});
}

template <class D, class C, class A, class X>
void grouped_matmul_tn_impl(Gpu<D>& be, Strided<C> out, Strided<A> a, Strided<X> b,
                            std::int32_t const* offsets, index_t groups, bool add) {
    using Body = gpu::GroupedOuterProduct<C, std::remove_const_t<A>, std::remove_const_t<X>>;
    be.for_each(out.rows * out.cols, a.rows, Body{out, a, b, offsets, groups, add});
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
