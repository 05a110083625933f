// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_SEGMENTS_HPP
#define DEEPSEEK_CORE_SEGMENTS_HPP

#include <deepseek/core/buffer.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/each_tensor.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/visit.hpp>

#include <vector>

// Operations on whole sets of tensors (norm, AdamW, balancing) are one launch each: what they have to know of every
// tensor stands in a table in the backend's memory, written once.

namespace deepseek::inline DEEPSEEK_ABI {

/// One tensor of a set.
struct Segment {
    /// A launch over a set is one call per block; a block never spans two tensors.
    static constexpr index_t kBlock = 8192;

    index_t begin = 0;            ///< elements from the start of the set
    index_t size = 0;             ///< elements
    index_t blocks_before = 0;    ///< of all segments before it …
    index_t elements_before = 0;  ///< … likewise
    bool decays = false;          ///< weight decay acts on it

    constexpr DEEPSEEK_HD index_t blocks() const { return ceil_div(size, kBlock); }
};

/// Some of the tensors of a set, in their order; the table is in the backend's memory. Non-owning.
struct Segments {
    Segment const* data = nullptr;
    index_t count = 0;
    index_t blocks = 0;    ///< of all segments
    index_t elements = 0;  ///< of all segments

    struct Block {
        index_t begin = 0;  ///< elements from the start of the set
        index_t size = 0;
        bool decays = false;
    };
    /// The number-th of all blocks; where the table can be read.
    constexpr DEEPSEEK_HD Block block(index_t number) const {
        index_t low = 0;  // the segment is in [low, high)
        index_t high = count;
        while (high - low > 1) {
            auto const middle = (low + high) / 2;
            (data[middle].blocks_before <= number ? low : high) = middle;
        }
        auto const& segment = data[low];
        auto const done = (number - segment.blocks_before) * Segment::kBlock;
        auto const left = segment.size - done;
        return {segment.begin + done, left < Segment::kBlock ? left : Segment::kBlock, segment.decays};
    }
};

/// Owns the table of the tensors of M for which wanted(info) is true, in a set of T. All of them must have elements of one
/// type: in a set of bf16, the states are float.
///
/// Errors:    what the backend throws when memory is short
template <class M, class T, class B>
class SegmentTable {
public:
    template <class F>
    SegmentTable(B& backend, F const& wanted) {
        std::vector<Segment> all;
        each_tensor<M, T>([&](Info const& info, Place const& place) {
            if (wanted(info)) {
                auto const bytes = static_cast<index_t>(place.wide ? sizeof(accumulate_t<T>) : sizeof(T));
                all.push_back({place.offset / bytes, place.size(), view_.blocks, view_.elements,
                               info.role == Role::decayed});
                view_.blocks += all.back().blocks();
                view_.elements += place.size();
            }
        });
        view_.count = static_cast<index_t>(all.size());
        memory_ = Buffer<B>(backend, view_.count * static_cast<index_t>(sizeof(Segment)));
        backend.copy_from_host(memory_.data(), all.data(), memory_.bytes());
        view_.data = reinterpret_cast<Segment const*>(memory_.data());
    }

    Segments const& view() const { return view_; }

private:
    Buffer<B> memory_;
    Segments view_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
