// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ROPE_HPP
#define DEEPSEEK_OPS_ROPE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/rotation.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/rope.hpp>
#include <deepseek/ops/rotary_table.hpp>

#include <algorithm>
#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Whether an operation computes a value from inputs or a gradient from that of the value.
enum class Direction : bool { forward, backward };

/// Rotates in place, in every row, `Heads` parts of width Dim; the first begins at column Offset, each next one
/// HeadStride later. Row r is at position first + r % length, less starts[r] where documents begin inside a sequence.
/// Backward rotates the other way.
///
/// Shapes:    x [rows, C], rows a multiple of length; starts [rows], at most r % length, or null
/// Precision: angles as RotaryTable says; cosine and sine within an ulp of x's accumulate_t
/// Errors:    ShapeError if the rows are not whole sequences or the first position is negative
/// Source:    Su et al. 2021
template <index_t Heads, index_t HeadStride, index_t Offset, class B, class T, index_t C, index_t Dim>
void rotate(B& be, Rows<T, C> x, RotaryTable<Dim> const& table, index_t length, index_t first,
            Direction direction = Direction::forward, std::int32_t const* starts = nullptr) {
    static_assert(Heads > 0 && Offset >= 0 && (Heads == 1 || HeadStride >= Dim) &&
                      Offset + (Heads - 1) * HeadStride + Dim <= C,
                  "rotate: the parts overlap or reach beyond the row");
    if (x.rows == 0) {
        return;
    }
    expects<ShapeError>(length > 0 && x.rows % length == 0, "rotate: ", x.rows, " rows are not sequences of ",
                        length);
    expects<ShapeError>(first >= 0, "rotate: the first position is ", first);
    Rotation rotation{.attention_factor = table.attention_factor,
                      .step = table.interleaved ? 2 : 1,
                      .gap = table.interleaved ? 1 : Dim / 2,
                      .heads = Heads,
                      .head_stride = HeadStride,
                      .length = length,
                      .first = first,
                      .backward = direction == Direction::backward};
    for (index_t begin = 0; begin < Dim / 2; begin += Rotation::kMostPairs) {
        rotation.pairs = std::min(Rotation::kMostPairs, Dim / 2 - begin);
        std::copy_n(table.inverse_frequency + begin, rotation.pairs, rotation.inverse_frequency);
        auto const column = Offset + rotation.step * begin;
        call<Rotate>(be, Strided<T>{x.data + column, x.rows, C - column, x.stride}, rotation, starts);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
