// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_ELEMENTWISE_HPP
#define DEEPSEEK_OPS_REFERENCE_ELEMENTWISE_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cstddef>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::ops {

// One call of a body is one row.
namespace loop {

// Bases of Transform, one per input: an aggregate that device code can hold, unlike a tuple.
template <std::size_t Position, class X>
struct TransformInput {
    Strided<X const> rows;
};

template <class Positions, class T, class F, class... X>
struct Transform;

template <std::size_t... Position, class T, class F, class... X>
struct Transform<std::index_sequence<Position...>, T, F, X...> : TransformInput<Position, X>... {
    Strided<T> out;
    F f;

    constexpr Transform(Strided<T> to, F function, Strided<X const>... from)
        : TransformInput<Position, X>{from}..., out(to), f(function) {}

    DEEPSEEK_HD void operator()(index_t row) const { run(out.row(row), input<Position>(row)...); }

private:
    template <std::size_t P>
    DEEPSEEK_HD auto input(index_t row) const {
        return row_of<P>(*this, row);
    }
    template <std::size_t P, class U>
    static DEEPSEEK_HD U const* row_of(TransformInput<P, U> const& in, index_t row) {
        return in.rows.row(row);
    }
    DEEPSEEK_HD void run(T* to, X const*... from) const {
        for (index_t c = 0; c < out.cols; ++c) {
            to[c] = convert<T>(f(convert<accumulate_t<X>>(from[c])...));
        }
    }
};

template <class T>
struct Add {
    using Sum = accumulate_t<T>;

    Strided<T> y;
    Strided<T const> a;
    Strided<T const> b;

    DEEPSEEK_HD void operator()(index_t row) const {
        for (index_t c = 0; c < y.cols; ++c) {
            y.row(row)[c] = convert<T>(convert<Sum>(a.row(row)[c]) + convert<Sum>(b.row(row)[c]));
        }
    }
};

template <class T>
struct Accumulate {
    using Sum = accumulate_t<T>;

    Strided<T> y;
    Strided<T const> x;

    DEEPSEEK_HD void operator()(index_t row) const {
        for (index_t c = 0; c < y.cols; ++c) {
            y.row(row)[c] = convert<T>(convert<Sum>(y.row(row)[c]) + convert<Sum>(x.row(row)[c]));
        }
    }
};

template <class T, class X>
struct Copy {
    Strided<T> y;
    Strided<X const> x;

    DEEPSEEK_HD void operator()(index_t row) const {
        for (index_t c = 0; c < y.cols; ++c) {
            y.row(row)[c] = convert<T>(x.row(row)[c]);
        }
    }
};

template <class T>
struct Fill {
    Strided<T> y;
    T value;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const v = value;
        for (index_t c = 0; c < y.cols; ++c) {
            y.row(row)[c] = v;
        }
    }
};

template <class T>
struct Scale {
    using Sum = accumulate_t<T>;

    Strided<T> y;
    Sum factor;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const k = factor;
        for (index_t c = 0; c < y.cols; ++c) {
            y.row(row)[c] = convert<T>(convert<Sum>(y.row(row)[c]) * k);
        }
    }
};

}  // namespace loop

template <class B, class T, class F, class... X>
void reference(Transform, B& be, Strided<T> out, F f, Strided<X const>... in) {
    be.for_each(out.rows, out.cols,
                loop::Transform<std::index_sequence_for<X...>, T, F, X...>{out, f, in...});
}

template <class B, class T>
void reference(Add, B& be, Strided<T> y, Strided<T const> a, Strided<T const> b) {
    be.for_each(y.rows, y.cols, loop::Add<T>{y, a, b});
}

template <class B, class T>
void reference(Accumulate, B& be, Strided<T> y, Strided<T const> x) {
    be.for_each(y.rows, y.cols, loop::Accumulate<T>{y, x});
}

template <class B, class T, class X>
void reference(Copy, B& be, Strided<T> y, Strided<X const> x) {
    be.for_each(y.rows, y.cols, loop::Copy<T, X>{y, x});
}

template <class B, class T>
void reference(Fill, B& be, Strided<T> y, T value) {
    be.for_each(y.rows, y.cols, loop::Fill<T>{y, value});
}

template <class B, class T>
void reference(Scale, B& be, Strided<T> y, accumulate_t<T> factor) {
    be.for_each(y.rows, y.cols, loop::Scale<T>{y, factor});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
