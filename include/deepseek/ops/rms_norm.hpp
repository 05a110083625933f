// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_RMS_NORM_HPP
#define DEEPSEEK_OPS_RMS_NORM_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/generic/rms_norm.hpp>
#include <deepseek/ops/matmul.hpp>

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
    if constexpr (requires { rms_norm_impl(be, y, x, gain, inverse_rms, epsilon); }) {
        rms_norm_impl(be, y, x, gain, inverse_rms, epsilon);
    } else {
        using Body = generic::RmsNorm<T, std::remove_const_t<W>, C>;
        be.for_each(y.rows, 2 * C, Body{y, x, gain, inverse_rms, static_cast<accumulate_t<T>>(epsilon)});
    }
}

/// Gradients of rms_norm: overwrites dx or adds to it; adds to dgain.
///
/// Shapes:    dx, dy, x [rows, C]; dgain, gain [C]; inverse_rms [rows, 1], as rms_norm wrote it. dx may be dy
/// Precision: sums in accumulate_t; dgain is the same for any number of threads
/// Errors:    ShapeError if the row counts differ
/// Cost:      scratch of C sums per 32 rows
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
    if constexpr (requires { rms_norm_backward_impl(be, dx, dgain, dy, x, gain, inverse_rms, write); }) {
        rms_norm_backward_impl(be, dx, dgain, dy, x, gain, inverse_rms, write);
    } else {
        using Sum = accumulate_t<T>;
        using Body = generic::RmsNormBackward<T, std::remove_const_t<W>, C>;
        using Total = generic::AddBlocks<G, Sum, C>;
        auto const scope = be.scratch().scope();
        auto const partial =
            be.scratch().template rows<Sum, C>(ceil_div(dx.rows, Body::kBlock));  // [blocks, C]
        be.for_each(partial.rows, 4 * C * Body::kBlock,
                    Body{dx, partial, dy, x, gain, inverse_rms, write == Write::add});
        be.for_each(ceil_div(C, Total::kStrip), partial.rows * Total::kStrip, Total{dgain, partial});
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
