// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_ATTENTION_BACKWARD_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_ATTENTION_BACKWARD_HPP

#include <deepseek/backend/cpu/measured/attention_tile.hpp>
#include <deepseek/backend/cpu/measured/exp2.hpp>
#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/measured/transpose.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <numbers>

// The gradients of attention by blocks, in one sweep: probabilities are computed again from the saved log-sum-exp, and
// each tile of them serves dq, dk and dv. Exponentials are to base 2, as in the forward pass.

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured::detail {

/// What the backward pass reads besides the inputs, for one head of one sequence.
template <class T>
struct HeadGradients {
    Strided<T const> dout;  ///< [length_q, value]
    Strided<T const> out;   ///< [length_q, value]
    Strided<T const> lse;   ///< [length_q, 1]
};

/// One strip of queries in the backward pass, with what every block of keys needs of it.
template <class T>
class BackwardStrip {
    using Tile = AttentionTile<T>;
    using V = typename Tile::Vector;
    static constexpr int kLane = kLanes<T>;

public:
    BackwardStrip(HeadInputs<T> const& head, Workspace& workspace)
        : head_(&head),
          strip_(*head.shape, 0),
          q_columns_(workspace.take<T>(head.shape->key_width() * Tile::kQueries)),
          dout_columns_(workspace.take<T>(head.shape->value * Tile::kQueries)),
          q_rows_(workspace.take<T>(Tile::kQueries * head.key_stride())),
          dout_rows_(workspace.take<T>(Tile::kQueries * head.value_stride())),
          lse_(workspace.take<T>(Tile::kQueries)),
          delta_(workspace.take<T>(Tile::kQueries)),
          weights_(workspace.take<T>(Tile::kKeys * Tile::kQueries)),
          dscores_(workspace.take<T>(Tile::kKeys * Tile::kQueries)),
          dq_(workspace.take<T>(head.key_stride() * Tile::kQueries)) {
        // What lies behind the end of a row is multiplied, though nobody reads the result.
        std::fill_n(q_rows_, Tile::kQueries * head.key_stride(), T{});
        std::fill_n(dout_rows_, Tile::kQueries * head.value_stride(), T{});
    }

    /// Packs the strip that begins at `begin`.
    void pack(HeadGradients<T> const& gradients, index_t begin) {
        strip_ = {*head_->shape, begin};
        auto const count = strip_.count();
        pack_columns(q_columns_, head_->q, begin, count);
        pack_columns(dout_columns_, gradients.dout, begin, count);
        // Lanes without a query have probability 0; so has a row that saw nothing, whose lse is -inf.
        constexpr auto kNever = std::numeric_limits<T>::infinity();
        std::fill_n(lse_, Tile::kQueries, kNever);
        std::fill_n(delta_, Tile::kQueries, T{});
        for (index_t i = 0; i < count; ++i) {
            auto const* const dout = gradients.dout.row(begin + i);
            auto const* const out = gradients.out.row(begin + i);
            auto const lse = *gradients.lse.row(begin + i);
            copy_row(q_rows_ + i * head_->key_stride(), head_->q.row(begin + i), head_->q.cols);
            copy_row(dout_rows_ + i * head_->value_stride(), dout, gradients.dout.cols);
            lse_[i] = lse == -kNever ? kNever : lse * std::numbers::log2e_v<T>;
            delta_[i] = dot(dout, out, gradients.dout.cols);
        }
    }

    index_t begin() const { return strip_.begin(); }
    index_t count() const { return strip_.count(); }
    index_t seen() const { return strip_.seen_by_any(); }
    T const* dq() const { return dq_; }

    void clear_dq() { std::fill_n(dq_, head_->key_stride() * Tile::kQueries, T{}); }

    /// Adds what these queries and a block's keys give each other: to dq(), and to dk and dv, which lie as the block's
    /// k and v. Everything but dv is still to be scaled.
    void add(KeyBlock<T> const& block, T* dk, T* dv) {
        auto const seen = std::min(block.count, strip_.seen_by_any() - block.begin);
        if (seen <= 0) {
            return;
        }
        auto const rows = round_up(seen, Tile::kRows);
        differentiate_scores(block, rows);
        auto const k_stride = head_->key_stride();
        auto const v_stride = head_->value_stride();
        for (index_t r = 0; r < rows; r += Tile::kRows) {
            // Queries before the first that sees the tile's first key have nothing for it.
            auto const first = std::clamp<index_t>(
                head_->shape->first_query(block.begin + r) - strip_.begin(), 0, strip_.count());
            auto const steps = strip_.count() - first;
            auto const at = r * Tile::kQueries + first;
            add_row_tiles(dv + r * v_stride, v_stride, weights_ + at, dout_rows_ + first * v_stride, steps);
            add_row_tiles(dk + r * k_stride, k_stride, dscores_ + at, q_rows_ + first * k_stride, steps);
        }
        add_product<Along::rows, Tile::kVectors>(dq_, Tile::kQueries, block.k, k_stride, dscores_,
                                                 Tile::kQueries, k_stride, rows);
    }

private:
    static T dot(T const* a, T const* b, index_t count) {
        V sums[1] = {};
        index_t c = 0;
        for (; c + kLane <= count; c += kLane) {
            sums[0] += load<T, kLane>(a + c) * load<T, kLane>(b + c);
        }
        T total[1];
        lane_sums(total, sums);
        for (; c < count; ++c) {
            total[0] += a[c] * b[c];
        }
        return total[0];
    }

    // kRows rows of dk or dv, `width` wide and as far apart.
    static void add_row_tiles(T* to, index_t width, T const* a, T const* b, index_t steps) {
        index_t c = 0;
        for (; c + Tile::kVectors * kLane <= width; c += Tile::kVectors * kLane) {
            add_product<Along::sum, Tile::kVectors>(to + c, width, a, Tile::kQueries, b + c, width,
                                                    Tile::kRows, steps);
        }
        for (; c < width; c += kLane) {
            add_product<Along::sum, 1>(to + c, width, a, Tile::kQueries, b + c, width, Tile::kRows, steps);
        }
    }

    // weights_ = the probabilities after dropout; dscores_ = p · (dp · kept - delta): see ops/attention.hpp.
    void differentiate_scores(KeyBlock<T> const& block, index_t rows) {
        auto const& shape = *head_->shape;
        auto const factor = static_cast<T>(shape.scale * std::numbers::log2e);
        alignas(kVectorBytes) T limits[Tile::kQueries];
        auto const whole = strip_.seen_by_all() - block.begin;
        if (rows > whole) {
            strip_.limits(limits, block.begin);
        }
        for (index_t r = 0; r < rows; r += Tile::kRows) {
            typename Tile::Sums scores = {};
            multiply_add<Along::sum>(scores, block.k + r * head_->key_stride(), head_->key_stride(),
                                     q_columns_, Tile::kQueries, shape.key_width());
            bool const masked = r + Tile::kRows > whole;
            for (int i = 0; i < Tile::kRows; ++i) {
                for (int v = 0; v < Tile::kVectors; ++v) {
                    V p = exp2<T, kLane>(scores[i][v] * factor - load<T, kLane>(lse_ + v * kLane));
                    if (masked) {
                        p = load<T, kLane>(limits + v * kLane) > static_cast<T>(r + i) ? p : V{};
                    }
                    store(weights_ + (r + i) * Tile::kQueries + v * kLane, p);
                }
            }
            typename Tile::Sums dp = {};
            multiply_add<Along::sum>(dp, block.v + r * head_->value_stride(), head_->value_stride(),
                                     dout_columns_, Tile::kQueries, shape.value);
            for (int i = 0; i < Tile::kRows; ++i) {
                auto* const weights = weights_ + (r + i) * Tile::kQueries;
                auto* const dscores = dscores_ + (r + i) * Tile::kQueries;
                alignas(kVectorBytes) T kept[Tile::kQueries];
                if (shape.dropout.active()) {
                    strip_.kept(kept, head_->sequence, head_->head, block.begin + r + i);
                }
                for (int v = 0; v < Tile::kVectors; ++v) {
                    auto const p = load<T, kLane>(weights + v * kLane);
                    auto dkept = dp[i][v];
                    if (shape.dropout.active()) {
                        auto const factors = load<T, kLane>(kept + v * kLane);
                        dkept *= factors;
                        store(weights + v * kLane, p * factors);
                    }
                    store(dscores + v * kLane, p * (dkept - load<T, kLane>(delta_ + v * kLane)));
                }
            }
        }
    }

    HeadInputs<T> const* head_;
    Strip<T> strip_;
    T* q_columns_;     // [key_width, kQueries]
    T* dout_columns_;  // [value, kQueries]
    T* q_rows_;        // [kQueries, key_stride]
    T* dout_rows_;     // [kQueries, value_stride]
    T* lse_;           // [kQueries], to base 2
    T* delta_;         // [kQueries]: dout · out
    T* weights_;       // [kKeys, kQueries]
    T* dscores_;       // [kKeys, kQueries]
    T* dq_;            // [key_stride, kQueries]
};

/// How the backward pass of a head is cut. Its keys' blocks are dealt out to `parts`; a query's gradient is the sum of
/// what the parts give it, in their order, whether one task computes them all or each has its own. So the number of
/// tasks may follow the number of threads while the bits do not.
struct BackwardCut {
    static constexpr index_t kMostParts = 4;

    index_t blocks;  ///< of keys
    index_t parts;
    bool task_per_part;

    BackwardCut(index_t heads_of_all, index_t length_k, index_t keys_per_block, int threads)
        : blocks(ceil_div(length_k, keys_per_block)),
          parts(std::clamp<index_t>(blocks, 1, kMostParts)),
          task_per_part(parts > 1 && heads_of_all < 2 * index_t{threads} && threads > 1) {}

    index_t tasks() const { return task_per_part ? parts : 1; }
};

/// Where one head's gradients go.
template <class T>
struct HeadOutputs {
    Strided<T> dq;   ///< [length_q, key_width]
    Strided<T> dkv;  ///< [length_k, nope + value]
    Strided<T> dkr;  ///< [length_k, rope]: this head's part of it, not yet scaled
};

// The gradients of one head from the parts of task `task`. dq is written at `dq_scale`: scaled when it is complete.
template <class T>
void differentiate(HeadOutputs<T> const& to, HeadInputs<T> const& head, HeadGradients<T> const& gradients,
                   BackwardCut const& cut, index_t task, T dq_scale, Workspace& workspace) {
    using Tile = AttentionTile<T>;
    auto const scope = workspace.scope();
    auto const& shape = *head.shape;
    auto const k_stride = head.key_stride();
    auto const v_stride = head.value_stride();
    auto const parts = cut.task_per_part ? 1 : cut.parts;  // of this task
    auto const first = cut.task_per_part ? task : 0;       // block of this task …
    auto const step = cut.task_per_part ? cut.parts : 1;   // … and how far it is to the next
    auto const blocks = ceil_div(cut.blocks - first, step);
    auto* const k = workspace.take<T>(blocks * Tile::kKeys * k_stride);   // [keys, key_stride]
    auto* const v = workspace.take<T>(blocks * Tile::kKeys * v_stride);   // [keys, value_stride]
    auto* const dk = workspace.take<T>(blocks * Tile::kKeys * k_stride);  // [keys, key_stride]
    auto* const dv = workspace.take<T>(blocks * Tile::kKeys * v_stride);  // [keys, value_stride]
    for (auto* const memory : {k, dk}) {
        std::fill_n(memory, blocks * Tile::kKeys * k_stride, T{});
    }
    for (auto* const memory : {v, dv}) {
        std::fill_n(memory, blocks * Tile::kKeys * v_stride, T{});
    }
    auto const block = [&](index_t b) {
        return KeyBlock<T>{shape, k + b * Tile::kKeys * k_stride, v + b * Tile::kKeys * v_stride,
                           (first + b * step) * Tile::kKeys};
    };
    for (index_t b = 0; b < blocks; ++b) {
        block(b).pack(head);
    }

    BackwardStrip<T> strip{head, workspace};
    auto* const dq =
        workspace.take<T>(k_stride * Tile::kQueries);  // [key_stride, kQueries], summed over parts
    for (index_t begin = 0; begin < shape.length_q; begin += Tile::kQueries) {
        strip.pack(gradients, begin);
        for (index_t part = 0; part < parts; ++part) {
            strip.clear_dq();
            for (auto b = part; b < blocks && block(b).begin < strip.seen(); b += parts) {
                strip.add(block(b), dk + b * Tile::kKeys * k_stride, dv + b * Tile::kKeys * v_stride);
            }
            if (part == 0) {
                std::copy_n(strip.dq(), k_stride * Tile::kQueries, dq);
            } else {
                std::transform(dq, dq + k_stride * Tile::kQueries, strip.dq(), dq, std::plus<T>{});
            }
        }
        copy_transposed(to.dq.row(begin), to.dq.stride, dq, Tile::kQueries, to.dq.cols, strip.count(),
                        dq_scale);
    }
    for (index_t b = 0; b < blocks; ++b) {
        for (index_t j = 0; j < block(b).count; ++j) {
            auto const key = block(b).begin + j;
            auto const* const from = dk + (b * Tile::kKeys + j) * k_stride;
            copy_row(to.dkv.row(key), from, shape.nope, static_cast<T>(shape.scale));
            copy_row(to.dkv.row(key) + shape.nope, dv + (b * Tile::kKeys + j) * v_stride, shape.value);
            copy_row(to.dkr.row(key), from + shape.nope, shape.rope);
        }
    }
}

// to[c] = scale · the sum of `count` rows, in their order.
template <class T>
void sum_rows(T* to, T const* from, index_t from_stride, index_t count, index_t cols, T scale) {
    for (index_t c = 0; c < cols; ++c) {
        auto sum = from[c];
        for (index_t i = 1; i < count; ++i) {
            sum += from[i * from_stride + c];
        }
        to[c] = sum * scale;
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured::detail

#endif
