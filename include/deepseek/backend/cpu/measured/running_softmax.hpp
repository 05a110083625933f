// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_RUNNING_SOFTMAX_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_RUNNING_SOFTMAX_HPP

#include <deepseek/backend/cpu/measured/attention_tile.hpp>
#include <deepseek/backend/cpu/measured/exp2.hpp>
#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <limits>

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured::detail {

/// Packed keys and values that a strip of queries takes in at once.
template <class T>
struct SoftmaxBlock {
    T const* k;        ///< [rows, k_stride]
    index_t k_stride;  ///< at least the key width
    T const* v;        ///< [rows, v_stride]
    index_t v_stride;  ///< at least the value width, rounded up to kRows
    index_t rows;      ///< a multiple of kRows, at most kKeys
};

/// softmax(factor · q · kᵀ) · v in one pass over blocks of keys, after Dao et al. 2022 (FlashAttention), for
/// Vectors · kLanes queries, a lane each. Exponentials are to base 2: the factor includes log2(e).
///
/// Sums are kept relative to the largest score so far, and made relative to a larger one when it comes.
template <class T, int Vectors>
class RunningSoftmax {
    using Tile = AttentionTile<T>;
    using V = typename Tile::Vector;
    static constexpr int kLane = kLanes<T>;

public:
    static constexpr index_t kQueries = index_t{Vectors} * kLane;
    static constexpr T kNothing = -std::numeric_limits<T>::infinity();

    /// How many elements a state needs.
    static constexpr index_t size(index_t value) { return (round_up(value, Tile::kRows) + 2) * kQueries; }

    /// A state in the memory at `state`, which nothing has been added to. `queries` is [key_width, kQueries].
    RunningSoftmax(T* state, T const* queries, index_t key_width, index_t value)
        : queries_(queries),
          key_width_(key_width),
          value_rows_(round_up(value, Tile::kRows)),
          sums_(state),
          largest_(sums_ + value_rows_ * kQueries),
          total_(largest_ + kQueries) {
        std::fill_n(sums_, value_rows_ * kQueries, T{});
        std::fill_n(largest_, kQueries, kNothing);
        std::fill_n(total_, kQueries, T{});
    }

    /// Takes in a block. A lane sees its keys below limits[lane]; all lanes see those below `seen_by_all`, so that
    /// limits need not be filled if these are all. `scores` [kKeys, kQueries] is scratch; adjust(scores) may change the
    /// weights after they have been added up, for dropout.
    template <class F>
    void add(SoftmaxBlock<T> const& block, T factor, index_t seen_by_all, T const* limits, T* scores,
             F const& adjust) {
        alignas(kVectorBytes) T largest[kQueries];
        alignas(kVectorBytes) T correction[kQueries];
        score(scores, largest, block, factor, seen_by_all, limits);
        weigh(scores, largest, correction, block.rows);
        adjust(scores);
        add_product<Along::rows, Vectors>(sums_, kQueries, block.v, block.v_stride, scores, kQueries,
                                          value_rows_, block.rows, correction);
    }

    T* sums() const { return sums_; }              ///< [value, kQueries]: weights · v
    T const* largest() const { return largest_; }  ///< [kQueries]; -inf if nothing was seen
    T const* total() const { return total_; }      ///< [kQueries]: sum of weights; 0 if nothing was seen

private:
    // Scores, -inf where a lane does not see a key, and each lane's largest so far.
    void score(T* scores, T* largest, SoftmaxBlock<T> const& block, T factor, index_t seen_by_all,
               T const* limits) const {
        V top[Vectors];
        for (int v = 0; v < Vectors; ++v) {
            top[v] = load<T, kLane>(largest_ + v * kLane);
        }
        for (index_t r = 0; r < block.rows; r += Tile::kRows) {
            V sums[Tile::kRows][Vectors] = {};
            multiply_add<Along::sum>(sums, block.k + r * block.k_stride, block.k_stride, queries_, kQueries,
                                     key_width_);
            bool const masked = r + Tile::kRows > seen_by_all;
            for (int i = 0; i < Tile::kRows; ++i) {
                for (int v = 0; v < Vectors; ++v) {
                    V s = sums[i][v] * factor;
                    if (masked) {
                        s = load<T, kLane>(limits + v * kLane) > static_cast<T>(r + i) ? s : V{} + kNothing;
                    }
                    top[v] = s > top[v] ? s : top[v];
                    store(scores + (r + i) * kQueries + v * kLane, s);
                }
            }
        }
        for (int v = 0; v < Vectors; ++v) {
            store(largest + v * kLane, top[v]);
        }
    }

    // Turns scores into exponentials relative to the largest; `correction` makes what was summed relative to it.
    void weigh(T* scores, T const* largest, T* correction, index_t rows) {
        for (int v = 0; v < Vectors; ++v) {
            auto const before = load<T, kLane>(largest_ + v * kLane);
            auto const now = load<T, kLane>(largest + v * kLane);
            // Where nothing was seen yet any base will do, but -inf less -inf would be NaN.
            V const base = now == kNothing ? V{} : now;
            V const corrected = exp2<T, kLane>(before - base);
            V total = load<T, kLane>(total_ + v * kLane) * corrected;
            for (index_t r = 0; r < rows; ++r) {
                auto* const at = scores + r * kQueries + v * kLane;
                V const weight = exp2<T, kLane>(load<T, kLane>(at) - base);
                total += weight;
                store(at, weight);
            }
            store(largest_ + v * kLane, now);
            store(total_ + v * kLane, total);
            store(correction + v * kLane, corrected);
        }
    }

    T const* queries_;
    index_t key_width_;
    index_t value_rows_;
    T* sums_;     // [value_rows, kQueries]
    T* largest_;  // [kQueries]
    T* total_;    // [kQueries]
};

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured::detail

#endif
