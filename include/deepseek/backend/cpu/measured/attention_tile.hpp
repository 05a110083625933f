// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_ATTENTION_TILE_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_ATTENTION_TILE_HPP

#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/measured/transpose.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/attention.hpp>

#include <algorithm>
#include <cstdint>

// What forward and backward attention share: how a head is cut into tiles, how tiles are packed, and the product of
// two packed tiles.
//
// Scores are kept transposed, a row per key and a lane per query. So the statistics of a softmax row never cross
// lanes, and the scores are the vector operand of the products that follow, in forward and backward, as they lie.

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured::detail {

/// The extents of a tile of attention, for elements of T.
template <class T>
struct AttentionTile {
    /// Sums held in registers: kRows x kVectors vectors, which leaves registers for the operands and hides the latency
    /// of a multiply-add.
    static constexpr int kRows = kVectorRegisters == 32 ? 8 : 4;
    static constexpr int kVectors = 2;
    /// Queries that are computed side by side: a strip.
    static constexpr index_t kQueries = index_t{kVectors} * kLanes<T>;
    /// Keys of a block: with the scores of a strip it stays in the nearest caches. Part of the result's definition, as
    /// sums over keys are taken block by block.
    static constexpr index_t kKeys = 64;
    /// Packed widths are multiples of this, with zeros behind the end, so that no product has a remainder.
    static constexpr index_t kPad = std::max<index_t>(kRows, kLanes<T>);

    using Vector = Simd<T, kLanes<T>>;
    using Sums = Vector[kRows][kVectors];

    static_assert(kKeys % kRows == 0);
};

/// How the rows of a matrix operand lie: one after the other along the sum, or across it.
enum class Along : bool { rows, sum };

/// sums[r][v] += sum over p of a(r, p) · b[p][v]. `a` has rows of `a_stride` elements, which run along the sum
/// (a(r, p) = a[r][p]) or along r (a(r, p) = a[p][r]).
template <Along A, int Vectors, int Rows, class T, class S>
[[gnu::always_inline]] inline void multiply_add(Simd<T, kLanes<T>> (&sums)[Rows][Vectors], T const* a,
                                                index_t a_stride, S const* b, index_t b_stride,
                                                index_t steps) {
    using V = Simd<T, kLanes<T>>;
    for (index_t p = 0; p < steps; ++p) {
        V right[Vectors];
        for (int v = 0; v < Vectors; ++v) {
            right[v] = load<T, kLanes<T>>(b + p * b_stride + v * kLanes<T>);
        }
        for (int r = 0; r < Rows; ++r) {
            auto const left = A == Along::sum ? a[r * a_stride + p] : a[p * a_stride + r];
            for (int v = 0; v < Vectors; ++v) {
                sums[r][v] += left * right[v];
            }
        }
    }
}

/// c[r][·] (= scale · c[r][·]) += sum over p of a(r, p) · b[p][·], for `rows` rows of c, a multiple of kRows, and
/// `Vectors` vectors. `scale` points to one factor per column, or is null.
template <Along A, int Vectors, class T>
void add_product(T* c, index_t c_stride, T const* a, index_t a_stride, T const* b, index_t b_stride,
                 index_t rows, index_t steps, T const* scale = nullptr) {
    using Tile = AttentionTile<T>;
    for (index_t r = 0; r < rows; r += Tile::kRows) {
        typename Tile::Vector sums[Tile::kRows][Vectors];
        for (int i = 0; i < Tile::kRows; ++i) {
            for (int v = 0; v < Vectors; ++v) {
                sums[i][v] = load<T, kLanes<T>>(c + (r + i) * c_stride + v * kLanes<T>);
                if (scale != nullptr) {
                    sums[i][v] *= load<T, kLanes<T>>(scale + v * kLanes<T>);
                }
            }
        }
        multiply_add<A>(sums, A == Along::sum ? a + r * a_stride : a + r, a_stride, b, b_stride, steps);
        for (int i = 0; i < Tile::kRows; ++i) {
            for (int v = 0; v < Vectors; ++v) {
                store(c + (r + i) * c_stride + v * kLanes<T>, sums[i][v]);
            }
        }
    }
}

/// Copies `count` elements as T, times `scale`, in vectors where they fill one.
template <class T, class S>
[[gnu::always_inline]] inline void copy_row(T* to, S const* from, index_t count, T scale = 1) {
    index_t c = 0;
    for (; c + kLanes<T> <= count; c += kLanes<T>) {
        store(to + c, load<T, kLanes<T>>(from + c) * scale);
    }
    for (; c < count; ++c) {
        to[c] = convert<T>(from[c]) * scale;
    }
}

/// The rows of one head in one sequence: `width` columns of [rows of all sequences, heads * width].
template <class T>
Strided<T> head_of(Strided<T> all, index_t width, index_t length, index_t sequence, index_t head) {
    return {all.row(sequence * length) + head * width, length, width, all.stride};
}

/// The inputs of one head in one sequence.
template <class T>
struct HeadInputs {
    AttentionShape const* shape;
    index_t sequence;
    index_t head;
    Strided<T const> q;     ///< [length_q, nope + rope]
    Strided<T const> nope;  ///< [length_k, nope]
    Strided<T const> rope;  ///< [length_k, rope]
    Strided<T const> v;     ///< [length_k, value]

    HeadInputs(Strided<T const> queries, Strided<T const> kv, Strided<T const> kr,
               AttentionShape const& extents, index_t of_sequence, index_t of_head)
        : shape(&extents),
          sequence(of_sequence),
          head(of_head),
          q(head_of(queries, extents.key_width(), extents.length_q, sequence, head)),
          nope(head_of(kv, extents.nope + extents.value, extents.length_k, sequence, head)),
          rope(head_of(kr, extents.rope, extents.length_k, sequence, 0)),
          v(nope) {
        nope.cols = extents.nope;
        v = {nope.data + extents.nope, nope.rows, extents.value, nope.stride};
    }

    /// Widths of packed rows.
    index_t key_stride() const { return round_up(shape->key_width(), AttentionTile<T>::kPad); }
    index_t value_stride() const { return round_up(shape->value, AttentionTile<T>::kPad); }
};

/// Up to kKeys packed keys and values of one head.
template <class T>
struct KeyBlock {
    T* k;  ///< [kKeys, key_stride]; must be zero behind the end of a row
    T* v;  ///< [kKeys, value_stride]; the same
    index_t begin;
    index_t count;

    KeyBlock(AttentionShape const& shape, T* keys, T* values, index_t first)
        : k(keys),
          v(values),
          begin(first),
          count(std::min(AttentionTile<T>::kKeys, shape.length_k - first)) {}

    /// Fills the block. Rows up to the next multiple of kRows become zero.
    void pack(HeadInputs<T> const& head) const {
        auto const k_stride = head.key_stride();
        auto const v_stride = head.value_stride();
        for (index_t j = 0; j < count; ++j) {
            copy_row(k + j * k_stride, head.nope.row(begin + j), head.nope.cols);
            copy_row(k + j * k_stride + head.nope.cols, head.rope.row(begin + j), head.rope.cols);
            copy_row(v + j * v_stride, head.v.row(begin + j), head.v.cols);
        }
        auto const end = round_up(count, AttentionTile<T>::kRows);
        std::fill(k + count * k_stride, k + end * k_stride, T{});
        std::fill(v + count * v_stride, v + end * v_stride, T{});
    }
};

/// Rows [begin, begin + count) of `from`, count <= kQueries, as columns: to [from.cols, kQueries]. The columns behind
/// become zero.
template <class T>
void pack_columns(T* to, Strided<T const> from, index_t begin, index_t count) {
    constexpr auto kQueries = AttentionTile<T>::kQueries;
    if (count < kQueries) {
        std::fill(to, to + from.cols * kQueries, T{});
    }
    copy_transposed(to, kQueries, from.row(begin), from.stride, count, from.cols);
}

/// Up to kQueries queries of a sequence, and how many keys, from the first, they see.
template <class T>
class Strip {
public:
    Strip(AttentionShape const& shape, index_t begin) : shape_(&shape), begin_(begin) {}

    index_t begin() const { return begin_; }
    index_t count() const { return std::min(AttentionTile<T>::kQueries, shape_->length_q - begin_); }
    /// Keys that every query of the strip sees.
    index_t seen_by_all() const { return shape_->visible(begin_); }
    /// Keys that some query of the strip sees.
    index_t seen_by_any() const { return shape_->visible(begin_ + count() - 1); }

    /// How many keys behind key_begin each lane sees, as numbers to compare with. Lanes without a query see what the
    /// last query sees.
    void limits(T* to, index_t key_begin) const {
        for (index_t lane = 0; lane < AttentionTile<T>::kQueries; ++lane) {
            to[lane] = static_cast<T>(shape_->visible(begin_ + std::min(lane, count() - 1)) - key_begin);
        }
    }

    /// Dropout's factors of key `key` in every lane.
    void kept(T* to, index_t sequence, index_t head, index_t key) const {
        auto const first = shape_->probability(sequence, head, begin_, key);
        auto const step = static_cast<std::uint64_t>(shape_->keys_numbered());
        for (std::uint64_t lane = 0; lane < AttentionTile<T>::kQueries; ++lane) {
            to[lane] = shape_->dropout.template factor<T>(first + lane * step);
        }
    }

private:
    AttentionShape const* shape_;
    index_t begin_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured::detail

#endif
