// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_CONVERT_HPP
#define DEEPSEEK_OPS_REFERENCE_CONVERT_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/segments.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call is one block.
template <class To, class From>
struct ConvertSet {
    To* to;
    Segments to_segments;
    From const* from;
    Segments from_segments;

    DEEPSEEK_HD void operator()(index_t number) const {
        auto const block = from_segments.block(number);
        auto* const out = to + to_segments.block(number).begin;
        auto const* const in = from + block.begin;
        for (index_t i = 0; i < block.size; ++i) {
            out[i] = convert<To>(in[i]);
        }
    }
};

}  // namespace loop

template <class B, class To, class From>
void reference(ConvertSet, B& be, To* to, Segments const& to_segments, From const* from,
               Segments const& from_segments) {
    be.for_each(to_segments.blocks, Segment::kBlock,
                loop::ConvertSet<To, From>{to, to_segments, from, from_segments});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
