// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ADD_RMS_NORM_HPP
#define DEEPSEEK_OPS_ADD_RMS_NORM_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/add_rms_norm.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// What stands between two sublayers: sum = a + b, the residual stream, and y = rms_norm(sum), what the next one sees. A
/// composite operation: the two in one, for backends that save a pass over memory by it.
///
/// Shapes:    y, sum, a, b [rows, C]; gain [C]; inverse_rms [rows, 1], written for the backward pass. sum may be a or b
/// Precision: sum is rounded to its type before it is normed
/// Units:     epsilon has the unit of the sum squared
/// Errors:    ShapeError if the row counts differ
template <class B, class T, class W, index_t C>
void add_rms_norm(B& be, Rows<T, C> y, Rows<T, C> sum, std::type_identity_t<Rows<T const, C>> a,
                  std::type_identity_t<Rows<T const, C>> b, Matrix<W, C> gain,
                  Rows<accumulate_t<T>, 1> inverse_rms, double epsilon) {
    expects<ShapeError>(
        y.rows == sum.rows && y.rows == a.rows && y.rows == b.rows && y.rows == inverse_rms.rows,
        "add_rms_norm: y has ", y.rows, " rows, sum ", sum.rows, ", the summands ", a.rows, " and ", b.rows,
        ", inverse_rms ", inverse_rms.rows);
    if (y.rows > 0) {
        call<AddRmsNorm>(be, y.strided(), sum.strided(), a.strided(), b.strided(), gain.cdata(),
                         inverse_rms.strided(), epsilon);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
