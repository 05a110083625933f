// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_RMS_NORM_HPP
#define DEEPSEEK_OPS_RMS_NORM_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/rms_norm.hpp>
#include <deepseek/ops/write.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Divides each row by its root mean square and multiplies by a learned gain: y = x / sqrt(mean(x²) + epsilon) · gain.
///
/// Shapes:    y, x [rows, C]; gain [C]; inverse_rms [rows, 1], written for the backward pass
/// Precision: sums in accumulate_t; y rounded once. y may be x
/// Units:     epsilon has the unit of x squared
/// Errors:    ShapeError if the row counts differ
/// Source:    Zhang, Sennrich 2019; epsilon inside the root as in the DeepSeek-V3 model code
template <class B, class T, class W, index_t C>
void rms_norm(B& be, Rows<T, C> y, std::type_identity_t<Rows<T const, C>> x, Matrix<W, C> gain,
              Rows<accumulate_t<T>, 1> inverse_rms, double epsilon) {
    expects<ShapeError>(y.rows == x.rows && y.rows == inverse_rms.rows, "rms_norm: y has ", y.rows,
                        " rows, x has ", x.rows, ", inverse_rms has ", inverse_rms.rows);
    if (y.rows == 0) {
        return;
    }
    call<RmsNorm>(be, y.strided(), x.strided(), gain.cdata(), inverse_rms.strided(), epsilon);
}

/// Gradients of rms_norm: overwrites dx or adds to it; adds to dgain.
///
/// Shapes:    dx, dy, x [rows, C]; dgain, gain [C]; inverse_rms [rows, 1], as rms_norm wrote it. dx may be dy
/// Precision: sums in accumulate_t; dgain is the same for any number of threads
/// Errors:    ShapeError if the row counts differ
template <class B, class T, class G, class W, index_t C>
void rms_norm_backward(B& be, Rows<T, C> dx, Matrix<G, C> dgain, std::type_identity_t<Rows<T const, C>> dy,
                       std::type_identity_t<Rows<T const, C>> x, Matrix<W, C> gain,
                       Rows<accumulate_t<T> const, 1> inverse_rms, Write write) {
    expects<ShapeError>(dx.rows == dy.rows && dx.rows == x.rows && dx.rows == inverse_rms.rows,
                        "rms_norm_backward: dx has ", dx.rows, " rows, dy has ", dy.rows, ", x has ", x.rows,
                        ", inverse_rms has ", inverse_rms.rows);
    if (dx.rows == 0) {
        return;
    }
    call<RmsNormBackward>(be, dx.strided(), dgain.data, dy.strided(), x.strided(), gain.cdata(),
                          inverse_rms.strided(), write == Write::add);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
