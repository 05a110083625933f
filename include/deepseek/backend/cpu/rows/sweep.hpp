// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_SWEEP_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_SWEEP_HPP

#include <deepseek/backend/cpu/eigen.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <limits>
#include <type_traits>

// How a row becomes Eigen expressions: as stretches of a fixed number of elements, whatever its width. So an operation is
// instantiated once per element type and not once per width, and its results are the same bits at any address: Eigen looks
// for an aligned one to begin at only where the size is not known to the compiler.

namespace deepseek::inline DEEPSEEK_ABI::cpu::rows {

/// Elements of a stretch: four registers.
template <class T>
inline constexpr int kStretch = 4 * Eigen::internal::packet_traits<T>::size;

/// A stretch of a row as an Eigen array.
template <class T>
using Stretch = Eigen::Map<std::conditional_t<
    std::is_const_v<T>, Eigen::Array<std::remove_const_t<T>, kStretch<std::remove_const_t<T>>, 1> const,
    Eigen::Array<T, kStretch<std::remove_const_t<T>>, 1>>>;

/// A stretch by value.
template <class T>
using Values = Eigen::Array<T, kStretch<T>, 1>;

namespace detail {
// A stretch of memory as f sees it. Elements of S are seen where they are; others as a copy in S, written back behind f.
template <class S, class P>
struct Seen {
    P* at;
    explicit Seen(P* p) : at(p) {}
    Stretch<P> view() { return Stretch<P>(at); }
    void write_back() const {}
};
template <class S, class P>
requires(!std::is_same_v<S, std::remove_const_t<P>>) struct Seen<S, P> {
    P* at;
    Values<S> copy;
    explicit Seen(P* p) : at(p) {
        for (int i = 0; i < kStretch<S>; ++i) {
            copy[i] = convert<S>(p[i]);
        }
    }
    auto view() { return Stretch<std::conditional_t<std::is_const_v<P>, S const, S>>(copy.data()); }
    void write_back() const {
        if constexpr (!std::is_const_v<P>) {
            for (int i = 0; i < kStretch<S>; ++i) {
                at[i] = convert<P>(copy[i]);
            }
        }
    }
};

// One array per row of a pack.
template <class P, class S>
Values<S> filled(S value) {
    return Values<S>::Constant(value);
}

template <class S, class F, class... P>
[[gnu::always_inline]] inline void visit_stretch(F const& f, Seen<S, P>... seen) {
    f(seen.view()...);
    (seen.write_back(), ...);
}
}  // namespace detail

/// f(stretches of the rows at p...) over `count` elements, in S whatever the rows' own types. What is left at the end is done
/// in copies, filled up with `pad`. Rows may share memory if f reads all it needs of a stretch before it writes.
template <class S, class F, class... P>
[[gnu::always_inline]] inline void sweep(index_t count, S pad, F const& f, P*... p) {
    index_t i = 0;
    for (; i + kStretch<S> <= count; i += kStretch<S>) {
        detail::visit_stretch(f, detail::Seen<S, P>(p + i)...);
    }
    // No more than a stretch, which compilers do not see by themselves and then warn of copies too large.
    if (auto const rest = std::min<index_t>(count - i, kStretch<S>); rest > 0) {
        [&]<class... B>(B... copy) {
            auto const read = [&]<class X>(X const* from, auto& to) {
                for (index_t e = 0; e < rest; ++e) {
                    to[e] = convert<S>(from[e]);
                }
            };
            (read(p + i, copy), ...);
            f(Stretch<std::conditional_t<std::is_const_v<P>, S const, S>>(copy.data())...);
            auto const write = [&]<class X>(X* to, auto const& from) {
                if constexpr (!std::is_const_v<X>) {
                    for (index_t e = 0; e < rest; ++e) {
                        to[e] = convert<X>(from[e]);
                    }
                }
            };
            (write(p + i, copy), ...);
        }(detail::filled<P>(pad)...);
    }
}

/// y += x. What is left at the end is a plain loop: additions are the same bits either way.
template <class Y, class X>
void accumulate(Y* y, X const* x, index_t count) {
    using S = accumulate_t<Y>;
    auto const whole = count / kStretch<S> * kStretch<S>;
    sweep(
        whole, S{0}, [](auto to, auto const& v) { to += v; }, y, x);
    for (auto i = whole; i < count; ++i) {
        y[i] = convert<Y>(convert<S>(y[i]) + convert<S>(x[i]));
    }
}

/// A sum over a sweep: one lane per element of a stretch, added in a fixed order at the end.
template <class T>
class Sum {
public:
    template <class X>
    [[gnu::always_inline]] void operator+=(Eigen::ArrayBase<X> const& x) {
        lanes_ += x;
    }
    T total() const { return lanes_.sum(); }

private:
    Values<T> lanes_ = Values<T>::Zero();
};

/// e^(x - top): 0 below the smallest normal number, where Eigen 3.4 stays above it. NaN stays NaN, because Eigen keeps the
/// left one of two operands then.
template <class S, class X>
auto exponential(X const& x, S top) {
    return ((x - top).exp() - std::numeric_limits<S>::min()).max(S{0});
}

/// The largest of x[0 .. count), -infinity if there is none. Whether NaN elements count is not defined.
template <class T>
accumulate_t<T> largest(T const* x, index_t count) {
    using S = accumulate_t<T>;
    constexpr auto kLeast = -std::numeric_limits<S>::infinity();
    Values<S> lanes = Values<S>::Constant(kLeast);
    sweep(
        count, kLeast, [&](auto const& v) { lanes = lanes.max(v); }, x);
    return lanes.maxCoeff();
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::rows

#endif
