// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_ROPE_HPP
#define DEEPSEEK_OPS_REFERENCE_ROPE_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/rotation.hpp>

#include <cmath>
#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call is one row: an angle serves all heads.
template <class T>
struct Rotate {
    using Sum = accumulate_t<T>;

    Strided<T> x;
    Rotation rotation;
    std::int32_t const* starts;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const& r = rotation;
        auto const start = starts == nullptr ? 0 : index_t{starts[row]};
        auto const position = static_cast<float>(r.first + row % r.length - start);
        for (index_t i = 0; i < r.pairs; ++i) {
            // A product of floats, as everyone who trains these models computes it: see RotaryTable.
            auto const angle = static_cast<double>(position * r.inverse_frequency[i]);
            auto const cos = static_cast<Sum>(std::cos(angle) * r.attention_factor);
            auto const sin =
                static_cast<Sum>(std::sin(angle) * (r.backward ? -r.attention_factor : r.attention_factor));
            for (index_t head = 0; head < r.heads; ++head) {
                auto* const pair = x.row(row) + head * r.head_stride + r.step * i;
                auto const a = convert<Sum>(pair[0]);
                auto const b = convert<Sum>(pair[r.gap]);
                pair[0] = convert<T>(a * cos - b * sin);
                pair[r.gap] = convert<T>(a * sin + b * cos);
            }
        }
    }
};

}  // namespace loop

template <class B, class T>
void reference(Rotate, B& be, Strided<T> x, Rotation const& rotation, std::int32_t const* starts) {
    be.for_each(x.rows, 8 * rotation.pairs * (2 + rotation.heads), loop::Rotate<T>{x, rotation, starts});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
