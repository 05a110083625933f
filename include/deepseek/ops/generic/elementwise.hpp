// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_ELEMENTWISE_HPP
#define DEEPSEEK_OPS_GENERIC_ELEMENTWISE_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cstddef>
#include <utility>

// One call of a body is one row.

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

// Bases of Transform, one per input: an aggregate that device code can hold, unlike a tuple.
template <std::size_t Position, class X, index_t C>
struct TransformInput {
    Rows<X const, C> rows;
};

template <class Positions, class T, index_t C, class F, class... X>
struct Transform;

template <std::size_t... Position, class T, index_t C, class F, class... X>
struct Transform<std::index_sequence<Position...>, T, C, F, X...> : TransformInput<Position, X, C>... {
    Rows<T, C> out;
    F f;

    constexpr Transform(Rows<T, C> to, F function, Rows<X const, C>... from)
        : TransformInput<Position, X, C>{from}..., out(to), f(function) {}

    DEEPSEEK_HD void operator()(index_t row) const { run(out.row(row), input<Position>(row)...); }

private:
    template <std::size_t P>
    DEEPSEEK_HD auto input(index_t row) const {
        return row_of<P>(*this, row);
    }
    template <std::size_t P, class U>
    static DEEPSEEK_HD U const* row_of(TransformInput<P, U, C> const& in, index_t row) {
        return in.rows.row(row);
    }
    DEEPSEEK_HD void run(T* to, X const*... from) const {
        for (index_t c = 0; c < C; ++c) {
            to[c] = f(from[c]...);
        }
    }
};

template <class T, index_t C>
struct Add {
    Rows<T, C> y;
    Rows<T const, C> a;
    Rows<T const, C> b;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const to = y.row(row);
        auto const* const left = a.row(row);
        auto const* const right = b.row(row);
        for (index_t c = 0; c < C; ++c) {
            to[c] = left[c] + right[c];
        }
    }
};

template <class T, index_t C>
struct Accumulate {
    Rows<T, C> y;
    Rows<T const, C> x;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const to = y.row(row);
        auto const* const from = x.row(row);
        for (index_t c = 0; c < C; ++c) {
            to[c] += from[c];
        }
    }
};

template <class T, class X, index_t C>
struct Copy {
    Rows<T, C> y;
    Rows<X const, C> x;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const to = y.row(row);
        auto const* const from = x.row(row);
        for (index_t c = 0; c < C; ++c) {
            to[c] = convert<T>(from[c]);
        }
    }
};

template <class T, index_t C>
struct Fill {
    Rows<T, C> y;
    T value;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const to = y.row(row);
        auto const v = value;
        for (index_t c = 0; c < C; ++c) {
            to[c] = v;
        }
    }
};

template <class T, index_t C>
struct Scale {
    Rows<T, C> y;
    T factor;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const to = y.row(row);
        auto const k = factor;
        for (index_t c = 0; c < C; ++c) {
            to[c] *= k;
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
