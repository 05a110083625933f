// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_MATMUL_HPP
#define DEEPSEEK_OPS_REFERENCE_MATMUL_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// out (=|+=) op(a) · op(b), where op transposes if told so. One call is one element of out.
template <class T, class A, class W>
struct Matmul {
    using Sum = accumulate_t<T>;

    Strided<T> out;
    Strided<A const> a;
    Strided<W const> b;
    bool transpose_a;
    bool transpose_b;
    bool add;

    DEEPSEEK_HD void operator()(index_t element) const {
        auto const i = element / out.cols;
        auto const j = element % out.cols;
        auto const depth = transpose_a ? a.rows : a.cols;
        Sum sum = 0;
        for (index_t p = 0; p < depth; ++p) {
            sum += convert<Sum>(transpose_a ? a.row(p)[i] : a.row(i)[p]) *
                   convert<Sum>(transpose_b ? b.row(j)[p] : b.row(p)[j]);
        }
        auto& to = out.row(i)[j];
        to = convert<T>(add ? convert<Sum>(to) + sum : sum);
    }
};

}  // namespace loop

template <class B, class T, class A, class W>
void reference(Matmul, B& be, Strided<T> out, Strided<A const> a, bool transpose_a, Strided<W const> b,
               bool transpose_b, bool add) {
    be.for_each(out.rows * out.cols, transpose_a ? a.rows : a.cols,
                loop::Matmul<T, A, W>{out, a, b, transpose_a, transpose_b, add});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
