// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_CONVERT_HPP
#define DEEPSEEK_OPS_CONVERT_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/convert.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Copies segments of one set into those of another, which are the same tensors with elements of another type.
///
/// Shapes:    to, from: the sets; to_segments, from_segments: of equal sizes, in equal order
/// Precision: rounds to nearest
/// Errors:    ShapeError if the segments are not of equal number and size together
/// Cost:      one launch
template <class B, class To, class From>
void convert_set(B& be, To* to, Segments const& to_segments, From const* from,
                 Segments const& from_segments) {
    expects<ShapeError>(
        to_segments.count == from_segments.count && to_segments.elements == from_segments.elements,
        "convert_set: ", from_segments.count, " segments of ", from_segments.elements, " elements into ",
        to_segments.count, " of ", to_segments.elements);
    if (to_segments.blocks > 0) {
        call<ConvertSet>(be, to, to_segments, from, from_segments);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
