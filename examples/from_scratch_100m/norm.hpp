// SPDX-License-Identifier: MIT
#ifndef FROM_SCRATCH_NORM_HPP
#define FROM_SCRATCH_NORM_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/core/visit.hpp>

#include "sizes.hpp"

#include <cmath>
#include <string_view>
#include <type_traits>

// An operation that the library does not have is a loop body and a call of for_each; so it runs on every backend.

namespace from_scratch {

namespace loop {
/// One call is one row.
template <class T, class W>
struct Norm {
    using Sum = ds::accumulate_t<T>;
    static constexpr double kEpsilon = 1e-6;

    ds::Strided<T> y;
    ds::Strided<T const> x;
    W const* gain;

    DEEPSEEK_HD void operator()(index_t row) const {
        Sum squares = 0;
        for (index_t c = 0; c < x.cols; ++c) {
            auto const value = ds::convert<Sum>(x.row(row)[c]);
            squares += value * value;
        }
        auto const rms = std::sqrt(squares / static_cast<Sum>(x.cols));
        auto const factor = 1 / (rms + static_cast<Sum>(kEpsilon));
        for (index_t c = 0; c < x.cols; ++c) {
            y.row(row)[c] =
                ds::convert<T>(ds::convert<Sum>(x.row(row)[c]) * factor * ds::convert<Sum>(gain[c]));
        }
    }
};
}  // namespace loop

/// y = gain · x / (rms(x) + 1e-6): the epsilon stands outside the root, where ops::rms_norm has it inside. y may be x.
///
/// Shapes:    y, x [rows, C]; gain [C]
template <class B, class T, class W, index_t C>
void norm(B& be, ds::Rows<T, C> y, std::type_identity_t<ds::Rows<T const, C>> x, ds::Matrix<W, C> gain) {
    be.for_each(y.rows, 2 * C, loop::Norm<T, std::remove_const_t<W>>{y.strided(), x.strided(), gain.cdata()});
}

constexpr ds::Info norm_info(std::string_view name) {
    return {.name = name, .init = ds::Init::ones, .role = ds::Role::undecayed};
}

}  // namespace from_scratch

#endif
