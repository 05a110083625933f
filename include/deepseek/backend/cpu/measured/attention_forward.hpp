// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_ATTENTION_FORWARD_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_ATTENTION_FORWARD_HPP

#include <deepseek/backend/cpu/measured/attention_tile.hpp>
#include <deepseek/backend/cpu/measured/running_softmax.hpp>
#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/measured/transpose.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured::detail {

/// One strip of queries on its way along the keys. Its memory belongs to the scope it was made with.
template <class T>
class ForwardStrip {
    using Tile = AttentionTile<T>;
    using Softmax = RunningSoftmax<T, Tile::kVectors>;

public:
    ForwardStrip(HeadInputs<T> const& head, index_t begin, Workspace& workspace)
        : ForwardStrip(head, begin, workspace.take<T>(Softmax::size(head.shape->value)),
                       workspace.take<T>(head.shape->key_width() * Tile::kQueries)) {}

    index_t seen() const { return strip_.seen_by_any(); }

    /// Takes in a block of keys; `scores` [kKeys, kQueries] is scratch.
    void add(KeyBlock<T> const& block, T* scores) {
        auto const seen = std::min(block.count, strip_.seen_by_any() - block.begin);
        if (seen <= 0) {
            return;
        }
        auto const rows = round_up(seen, Tile::kRows);
        auto const seen_by_all = strip_.seen_by_all() - block.begin;
        alignas(kVectorBytes) T limits[Tile::kQueries];
        if (rows > seen_by_all) {
            strip_.limits(limits, block.begin);
        }
        softmax_.add({block.k, head_->key_stride(), block.v, head_->value_stride(), rows},
                     static_cast<T>(head_->shape->scale * std::numbers::log2e), seen_by_all, limits, scores,
                     [&](T* weights) {
                         if (head_->shape->dropout.active()) {
                             drop(weights, block.begin, seen);
                         }
                     });
    }

    /// Writes these queries' rows of out [length_q, value] and of lse [length_q, 1].
    void finish(Strided<T> out, Strided<T> lse) const {
        alignas(kVectorBytes) T inverse[Tile::kQueries] = {};
        for (index_t lane = 0; lane < strip_.count(); ++lane) {
            auto const total = softmax_.total()[lane];
            bool const nothing = total == 0;
            *lse.row(strip_.begin() + lane) =
                nothing ? Softmax::kNothing
                        : (softmax_.largest()[lane] + std::log2(total)) * std::numbers::ln2_v<T>;
            inverse[lane] = nothing ? T{0} : 1 / total;
        }
        for (index_t c = 0; c < out.cols; ++c) {
            for (index_t lane = 0; lane < Tile::kQueries; lane += kLanes<T>) {
                auto* const sum = softmax_.sums() + c * Tile::kQueries + lane;
                store(sum, load<T, kLanes<T>>(sum) * load<T, kLanes<T>>(inverse + lane));
            }
        }
        copy_transposed(out.row(strip_.begin()), out.stride, softmax_.sums(), Tile::kQueries, out.cols,
                        strip_.count());
    }

private:
    ForwardStrip(HeadInputs<T> const& head, index_t begin, T* state, T* queries)
        : head_(&head),
          strip_(*head.shape, begin),
          softmax_(state, queries, head.shape->key_width(), head.shape->value) {
        pack_columns(queries, head.q, begin, strip_.count());
    }

    void drop(T* weights, index_t key_begin, index_t count) const {
        alignas(kVectorBytes) T kept[Tile::kQueries];
        for (index_t r = 0; r < count; ++r) {
            strip_.kept(kept, head_->sequence, head_->head, key_begin + r);
            for (index_t lane = 0; lane < Tile::kQueries; ++lane) {
                weights[r * Tile::kQueries + lane] *= kept[lane];
            }
        }
    }

    HeadInputs<T> const* head_;
    Strip<T> strip_;
    Softmax softmax_;
};

/// Queries [begin, end) of one head: their strips share the packed blocks of keys.
template <class T>
void attend(Strided<T> out, Strided<T> lse, HeadInputs<T> const& head, index_t begin, index_t end,
            Workspace& workspace) {
    using Tile = AttentionTile<T>;
    auto const scope = workspace.scope();
    auto const count = ceil_div(end - begin, Tile::kQueries);
    auto* const strips = workspace.take<ForwardStrip<T>>(count);
    for (index_t s = 0; s < count; ++s) {
        std::construct_at(strips + s, head, begin + s * Tile::kQueries, workspace);
    }
    auto* const scores = workspace.take<T>(Tile::kKeys * Tile::kQueries);
    auto* const k = workspace.take<T>(Tile::kKeys * head.key_stride());
    auto* const v = workspace.take<T>(Tile::kKeys * head.value_stride());
    std::fill_n(k, Tile::kKeys * head.key_stride(), T{});
    std::fill_n(v, Tile::kKeys * head.value_stride(), T{});
    for (index_t key = 0; key < strips[count - 1].seen(); key += Tile::kKeys) {
        KeyBlock<T> const block{*head.shape, k, v, key};
        block.pack(head);
        for (index_t s = 0; s < count; ++s) {
            strips[s].add(block, scores);
        }
    }
    for (index_t s = 0; s < count; ++s) {
        strips[s].finish(out, lse);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured::detail

#endif
