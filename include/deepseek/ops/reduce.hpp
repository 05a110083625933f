// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REDUCE_HPP
#define DEEPSEEK_OPS_REDUCE_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/reduce.hpp>

#include <type_traits>

// Sums go to a double in the backend's memory and add to what is there, so that many of them cost one wait: the
// caller copies the total to the host when all are in. The same bits for any number of threads.

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// *total += value, known to the host.
///
/// Shapes:    total in the backend's memory
template <class B>
void add_value(B& be, double* total, double value) {
    call<AddValue>(be, total, value);
}

/// *total += factor · the sum of x.
///
/// Shapes:    x [rows, 1]; total in the backend's memory
/// Precision: in double
template <class B, class X>
void add_sum(B& be, double* total, Rows<X, 1> x, double factor = 1) {
    using T = std::remove_const_t<X>;
    if (x.rows > 0) {
        call<AddSum>(be, total, Strided<T const>(x.strided()), factor);
    }
}

/// *total += the sum of squares of all elements in the segments of a set.
///
/// Precision: in double
/// Cost:      two launches; reads the set once; scratch of one double per block
template <class B, class T>
void sum_of_squares(B& be, double* total, T const* set, Segments const& segments) {
    if (segments.blocks > 0) {
        call<SumOfSquares>(be, total, set, segments);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
