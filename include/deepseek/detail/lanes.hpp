// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DETAIL_LANES_HPP
#define DEEPSEEK_DETAIL_LANES_HPP

#include <deepseek/config.hpp>
#include <deepseek/core/index.hpp>

// Reductions over the elements of a row. Element i goes to lane i % kLanes and the lanes are added in halves: the
// order of every sum is fixed, so it does not depend on the compiler, the vector width or the number of threads, and
// compilers vectorise it without being allowed to reorder floating-point arithmetic.

namespace deepseek::inline DEEPSEEK_ABI::detail {

// Four 256-bit vectors of float: enough independent chains to hide the latency of an addition.
inline constexpr index_t kLanes = 32;

template <index_t Width, class S>
constexpr DEEPSEEK_HD S add_lanes(S* lane) {
    if constexpr (Width > 1) {
        for (index_t i = 0; i < Width / 2; ++i) {
            lane[i] += lane[i + Width / 2];
        }
        return add_lanes<Width / 2>(lane);
    } else {
        return lane[0];
    }
}

/// Sum of term(i) over [0, count), in S.
template <class S, class Term>
constexpr DEEPSEEK_HD S sum_of(index_t count, Term const& term) {
    S lane[kLanes] = {};
    auto const whole = count / kLanes * kLanes;
    for (index_t begin = 0; begin < whole; begin += kLanes) {
        for (index_t i = 0; i < kLanes; ++i) {
            lane[i] += term(begin + i);
        }
    }
    for (index_t i = 0; i < count - whole; ++i) {
        lane[i] += term(whole + i);
    }
    return add_lanes<kLanes>(lane);
}

template <index_t Width, class S>
constexpr DEEPSEEK_HD S largest_lane(S* lane) {
    if constexpr (Width > 1) {
        for (index_t i = 0; i < Width / 2; ++i) {
            lane[i] = lane[i] > lane[i + Width / 2] ? lane[i] : lane[i + Width / 2];
        }
        return largest_lane<Width / 2>(lane);
    } else {
        return lane[0];
    }
}

/// The largest of x[0 .. count), or `floor` where that is larger. NaN elements are passed over.
template <class S>
constexpr DEEPSEEK_HD S largest(S const* x, index_t count, S floor) {
    S lane[kLanes];
    for (auto& value : lane) {
        value = floor;
    }
    auto const whole = count / kLanes * kLanes;
    for (index_t begin = 0; begin < whole; begin += kLanes) {
        for (index_t i = 0; i < kLanes; ++i) {
            lane[i] = x[begin + i] > lane[i] ? x[begin + i] : lane[i];
        }
    }
    for (index_t i = 0; i < count - whole; ++i) {
        lane[i] = x[whole + i] > lane[i] ? x[whole + i] : lane[i];
    }
    return largest_lane<kLanes>(lane);
}

/// a · b over C elements, in S.
template <class S, index_t C, class A, class X>
constexpr DEEPSEEK_HD S dot(A const* a, X const* b) {
    return sum_of<S>(C, [=](index_t i) { return static_cast<S>(a[i]) * static_cast<S>(b[i]); });
}

/// Sum of squares of C elements, in S.
template <class S, index_t C, class A>
constexpr DEEPSEEK_HD S squared_norm(A const* a) {
    return dot<S, C>(a, a);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::detail

#endif
