// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ATTENTION_FORWARD_HPP
#define DEEPSEEK_BACKEND_CPU_ATTENTION_FORWARD_HPP

#include <deepseek/backend/cpu/attention_tile.hpp>
#include <deepseek/backend/cpu/simd.hpp>
#include <deepseek/backend/cpu/simd_exp2.hpp>
#include <deepseek/backend/cpu/transpose.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/attention_shape.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>

// Attention by blocks of keys with a running softmax, after Dao et al. 2022 (FlashAttention). Exponentials are to
// base 2, so scores are scaled by log2(e) as well.

namespace deepseek::inline DEEPSEEK_ABI::cpu::detail {

/// One strip of queries on its way along the keys. Its memory belongs to the scope it was made with.
template <class T>
class ForwardStrip {
    using Tile = AttentionTile<T>;
    using V = typename Tile::Vector;
    static constexpr int kLane = kLanes<T>;
    static constexpr T kNothing = -std::numeric_limits<T>::infinity();

public:
    ForwardStrip(HeadInputs<T> const& head, index_t begin, Workspace::Scope& scope)
        : head_(&head),
          strip_(*head.shape, begin),
          queries_(scope.take<T>(head.shape->key_width() * Tile::kQueries)),
          sums_(scope.take<T>(head.value_stride() * Tile::kQueries)),
          largest_(scope.take<T>(Tile::kQueries)),
          total_(scope.take<T>(Tile::kQueries)) {
        pack_columns(queries_, head.q, begin, strip_.count());
        std::fill_n(sums_, head.value_stride() * Tile::kQueries, T{});
        std::fill_n(largest_, Tile::kQueries, kNothing);
        std::fill_n(total_, Tile::kQueries, T{});
    }

    index_t seen() const { return strip_.seen_by_any(); }

    /// Takes in a block of keys; `scores` [kKeys, kQueries] is scratch.
    void add(KeyBlock<T> const& block, T* scores) {
        auto const seen = std::min(block.count, strip_.seen_by_any() - block.begin);
        if (seen <= 0) {
            return;
        }
        auto const rows = round_up(seen, Tile::kRows);
        alignas(kVectorBytes) T largest[Tile::kQueries];
        alignas(kVectorBytes) T correction[Tile::kQueries];
        score(scores, largest, block, rows);
        weigh(scores, largest, correction, rows);
        if (head_->shape->dropout.active()) {
            drop(scores, block.begin, seen);
        }
        add_product<Along::rows, Tile::kVectors>(sums_, Tile::kQueries, block.v, head_->value_stride(),
                                                 scores, Tile::kQueries, head_->value_stride(), rows,
                                                 correction);
    }

    /// Writes these queries' rows of out [length_q, value] and of lse [length_q, 1].
    void finish(Strided<T> out, Strided<T> lse) {
        alignas(kVectorBytes) T inverse[Tile::kQueries] = {};
        for (index_t lane = 0; lane < strip_.count(); ++lane) {
            bool const nothing = total_[lane] == 0;
            *lse.row(strip_.begin() + lane) =
                nothing ? kNothing : (largest_[lane] + std::log2(total_[lane])) * std::numbers::ln2_v<T>;
            inverse[lane] = nothing ? T{0} : 1 / total_[lane];
        }
        for (index_t c = 0; c < out.cols; ++c) {
            for (int v = 0; v < Tile::kVectors; ++v) {
                auto* const sum = sums_ + c * Tile::kQueries + v * kLane;
                store(sum, load<T, kLane>(sum) * load<T, kLane>(inverse + v * kLane));
            }
        }
        transpose(out.row(strip_.begin()), out.stride, sums_, Tile::kQueries, out.cols, strip_.count());
    }

private:
    // Scores of a block's first `rows` keys, -inf where a query does not see one, and each query's largest score
    // so far.
    void score(T* scores, T* largest, KeyBlock<T> const& block, index_t rows) const {
        auto const factor = static_cast<T>(head_->shape->scale * std::numbers::log2e);
        alignas(kVectorBytes) T limits[Tile::kQueries];
        auto const whole = strip_.seen_by_all() - block.begin;
        if (rows > whole) {
            strip_.limits(limits, block.begin);
        }
        V top[Tile::kVectors];
        for (int v = 0; v < Tile::kVectors; ++v) {
            top[v] = load<T, kLane>(largest_ + v * kLane);
        }
        for (index_t r = 0; r < rows; r += Tile::kRows) {
            typename Tile::Sums sums = {};
            multiply_add<Along::sum>(sums, block.k + r * head_->key_stride(), head_->key_stride(), queries_,
                                     Tile::kQueries, head_->shape->key_width());
            bool const masked = r + Tile::kRows > whole;
            for (int i = 0; i < Tile::kRows; ++i) {
                for (int v = 0; v < Tile::kVectors; ++v) {
                    V s = sums[i][v] * factor;
                    if (masked) {
                        auto const limit = load<T, kLane>(limits + v * kLane);
                        s = limit > static_cast<T>(r + i) ? s : V{} + kNothing;
                    }
                    top[v] = s > top[v] ? s : top[v];
                    store(scores + (r + i) * Tile::kQueries + v * kLane, s);
                }
            }
        }
        for (int v = 0; v < Tile::kVectors; ++v) {
            store(largest + v * kLane, top[v]);
        }
    }

    // Turns scores into exponentials relative to the largest score; `correction` makes earlier sums relative to it.
    void weigh(T* scores, T const* largest, T* correction, index_t rows) {
        for (int v = 0; v < Tile::kVectors; ++v) {
            auto const before = load<T, kLane>(largest_ + v * kLane);
            auto const now = load<T, kLane>(largest + v * kLane);
            // Where nothing was seen yet any base will do, but -inf less -inf would be NaN.
            V const base = now == kNothing ? V{} : now;
            auto const corrected = exp2<T, kLane>(before - base);
            auto total = load<T, kLane>(total_ + v * kLane) * corrected;
            for (index_t r = 0; r < rows; ++r) {
                auto* const at = scores + r * Tile::kQueries + v * kLane;
                auto const weight = exp2<T, kLane>(load<T, kLane>(at) - base);
                total += weight;
                store(at, weight);
            }
            store(largest_ + v * kLane, now);
            store(total_ + v * kLane, total);
            store(correction + v * kLane, corrected);
        }
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
    T* queries_;  // [key_width, kQueries]
    T* sums_;     // [value, kQueries]: weights · values, relative to largest_
    T* largest_;  // [kQueries]: largest score so far
    T* total_;    // [kQueries]: sum of weights, relative to largest_
};

// Queries [begin, end) of one head: their strips share the packed blocks of keys.
template <class T>
void attend(Strided<T> out, Strided<T> lse, HeadInputs<T> const& head, index_t begin, index_t end,
            Workspace& workspace) {
    using Tile = AttentionTile<T>;
    Workspace::Scope scope{workspace};
    auto const count = ceil_div(end - begin, Tile::kQueries);
    auto* const strips = scope.take<ForwardStrip<T>>(count);
    for (index_t s = 0; s < count; ++s) {
        std::construct_at(strips + s, head, begin + s * Tile::kQueries, scope);
    }
    auto* const scores = scope.take<T>(Tile::kKeys * Tile::kQueries);
    auto* const k = scope.take<T>(Tile::kKeys * head.key_stride());
    auto* const v = scope.take<T>(Tile::kKeys * head.value_stride());
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

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::detail

#endif
