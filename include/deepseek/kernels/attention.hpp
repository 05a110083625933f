// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_KERNELS_ATTENTION_HPP
#define DEEPSEEK_KERNELS_ATTENTION_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/portable.hpp>
#include <deepseek/kernels/block.hpp>
#include <deepseek/kernels/tile.hpp>
#include <deepseek/ops/arguments/attention.hpp>

#include <cmath>

// Attention by tiles of 32 queries and 32 keys; a block owns 64 columns of what it computes, so that widths are free. Where
// there are more, every block computes the scores again. Softmax is taken blockwise (Dao et al. 2022), backward computes
// probabilities again from lse, and the gradients of queries and of keys are two kernels, so that nothing is added up by
// chance. A key whose probability is 0 counts as not seen.

namespace deepseek::inline DEEPSEEK_ABI::kernels {

/// What all kernels of attention read, and the elements of it that their products take.
template <class T>
struct AttentionTiles {
    using Sum = accumulate_t<T>;
    using Scores = Tile<Sum, 32>;   // [queries, keys]
    using Columns = Tile<Sum, 64>;  // of a result
    static constexpr int kThreads = Scores::kThreads;
    static constexpr int kSide = 32;  // queries or keys of a tile
    static constexpr Sum kNothing = -detail::kInfinity<Sum>;

    /// Shared memory of products, one at a time.
    union Products {
        typename Scores::Shared scores;
        typename Columns::Shared columns;
    };
    using Square = Sum[kSide][kSide + 1];

    Strided<T const> q;
    Strided<T const> kv;
    Strided<T const> kr;
    AttentionShape shape;

    DEEPSEEK_HD index_t own() const { return shape.nope + shape.value; }  // width of a head in kv

    /// One of a head's tiles of rows, and one of the pieces of 64 columns.
    struct Place {
        index_t sequence;
        index_t head;
        index_t begin;  // in the sequence
        index_t piece;
    };
    DEEPSEEK_HD static Place place(index_t index, index_t heads, index_t length, index_t pieces) {
        auto const tiles = ceil_div(length, kSide);
        auto const tile = index / pieces;
        return {tile / tiles / heads, tile / tiles % heads, tile % tiles * kSide, index % pieces};
    }
    DEEPSEEK_HD static index_t blocks(index_t sequences, index_t heads, index_t length, index_t pieces) {
        return sequences * heads * ceil_div(length, kSide) * pieces;
    }
    DEEPSEEK_HD static index_t pieces(index_t width) { return ceil_div(width, Columns::kColumns); }

    DEEPSEEK_HD index_t query_row(index_t sequence, index_t i) const { return sequence * shape.length_q + i; }
    DEEPSEEK_HD index_t key_row(index_t sequence, index_t j) const { return sequence * shape.length_k + j; }
    DEEPSEEK_HD index_t first_key(index_t query_row) const {
        return shape.first_key == nullptr ? 0 : index_t{shape.first_key[query_row]};
    }
    DEEPSEEK_HD bool sees(index_t sequence, index_t i, index_t j) const {
        return i < shape.length_q && j < shape.length_k && j < shape.visible(i) &&
               j >= first_key(query_row(sequence, i));
    }
    /// What dropout multiplies a probability by.
    DEEPSEEK_HD Sum kept(index_t sequence, index_t head, index_t i, index_t j) const {
        return shape.dropout.active()
                   ? shape.dropout.template factor<Sum>(shape.probability(sequence, head, i, j))
                   : Sum{1};
    }

    /// Queries of a tile by their width; of another tensor [queries, heads * width] likewise.
    DEEPSEEK_HD Factor<Sum, T> by_query(Strided<T const> rows, index_t width, index_t sequence, index_t head,
                                        index_t begin) const {
        return {rows.row(query_row(sequence, begin)) + head * width, rows.stride, shape.length_q - begin,
                true};
    }
    DEEPSEEK_HD Factor<Sum, T> values(index_t sequence, index_t head, index_t begin) const {
        return {kv.row(key_row(sequence, begin)) + head * own() + shape.nope, kv.stride,
                shape.length_k - begin, true};
    }

    /// Keys of a tile: columns [nope | rope] of one key after the other.
    struct Keys {
        T const* nope;
        T const* rope;
        index_t nope_stride;
        index_t rope_stride;
        index_t nope_width;
        index_t extent;
        static constexpr bool along_depth = true;

        DEEPSEEK_HD Sum element(index_t key, index_t c) const {
            return convert<Sum>(c < nope_width ? nope[key * nope_stride + c]
                                               : rope[key * rope_stride + (c - nope_width)]);
        }
        DEEPSEEK_HD Sum operator()(int key, index_t c) const {
            return key < extent ? element(key, c) : Sum{0};
        }
    };
    DEEPSEEK_HD Keys keys(index_t sequence, index_t head, index_t begin) const {
        auto const row = key_row(sequence, begin);
        return {kv.row(row) + head * own(), kr.row(row), kv.stride, kr.stride, shape.nope,
                shape.length_k - begin};
    }
    /// The same, summed over the keys: element (column, key).
    struct KeyColumns {
        Keys keys;
        index_t begin;
        index_t width;
        static constexpr bool along_depth = false;

        DEEPSEEK_HD Sum operator()(int c, index_t key) const {
            return begin + c < width ? keys.element(key, begin + c) : Sum{0};
        }
    };
    /// A matrix in shared memory; transposed, its rows are the depth.
    template <bool Transposed>
    struct InShared {
        Square const& square;
        static constexpr bool along_depth = !Transposed;

        DEEPSEEK_HD Sum operator()(int i, index_t p) const {
            return Transposed ? square[p][i] : square[i][p];
        }
    };
};

/// One block is a head's tile of queries and 64 columns of its values.
template <class T>
struct Attention {
    using Tiles = AttentionTiles<T>;
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = Tiles::kThreads;
    static constexpr int kTogether = kThreads / Tiles::kSide;  // threads that see to one query's softmax
    static constexpr int kKeysEach = Tiles::kSide / kTogether;
    static_assert(kTogether * Tiles::Scores::kOwnRows ==
                  16);  // rows of a tile and queries lie alike over the threads
    struct Shared {
        typename Tiles::Products products;
        typename Tiles::Square p;
        Sum factors[Tiles::kSide];
    };

    Tiles in;
    Strided<T> out;
    Strided<Sum> lse;

    index_t blocks() const {
        auto const& shape = in.shape;
        return Tiles::blocks(shape.sequences, shape.heads, shape.length_q, Tiles::pieces(shape.value));
    }

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const& shape = in.shape;
        auto& shared = block.shared();
        auto const thread = block.thread();
        auto const [sequence, head, begin, piece] =
            Tiles::place(block.index(), shape.heads, shape.length_q, Tiles::pieces(shape.value));
        auto const last = (begin + Tiles::kSide < shape.length_q ? begin + Tiles::kSide : shape.length_q) - 1;
        auto const end = shape.visible(last) < shape.length_k ? shape.visible(last) : shape.length_k;
        auto const column = piece * Tiles::Columns::kColumns;

        typename Tiles::Columns result;
        Sum top = Tiles::kNothing;  // of the scores of the query that this thread sees to, with others
        Sum total = 0;              // of e^(score - top)
        auto const query = thread / kTogether;
        for (auto key = in.first_key(in.query_row(sequence, begin)); key < end; key += Tiles::kSide) {
            scores(block, sequence, head, begin, key);
            auto* const mine = shared.p[query] + thread % kTogether * kKeysEach;
            auto new_top = top;
            for (int j = 0; j < kKeysEach; ++j) {
                new_top = larger(new_top, mine[j]);
            }
            for (int mask = 1; mask < kTogether; mask *= 2) {
                new_top = larger(new_top, block.shuffle_xor(new_top, mask));
            }
            auto const factor = new_top == Tiles::kNothing ? Sum{1} : std::exp(top - new_top);
            Sum sum = 0;
            for (int j = 0; j < kKeysEach; ++j) {
                auto const p = mine[j] == Tiles::kNothing ? Sum{0} : std::exp(mine[j] - new_top);
                sum += p;
                mine[j] =
                    p * in.kept(sequence, head, begin + query, key + thread % kTogether * kKeysEach + j);
            }
            top = new_top;
            total = total * factor + sum_together(block, sum);
            scale(block, result, query, factor);
            Factor<Sum, T> const values{in.values(sequence, head, key).data + column, in.kv.stride,
                                        shape.value - column, false};
            auto const keys = shape.length_k - key < Tiles::kSide ? shape.length_k - key : Tiles::kSide;
            result.template add_product<true>(block, shared.products.columns, keys,
                                              typename Tiles::template InShared<false>{shared.p}, values);
            block.sync();
        }

        if (piece == 0 && thread % kTogether == 0 && begin + query < shape.length_q) {
            lse.row(in.query_row(sequence, begin + query))[head] =
                total == 0 ? Tiles::kNothing : top + std::log(total);
        }
        scale(block, result, query, total == 0 ? Sum{0} : 1 / total);
        result.for_each(thread, [&](int i, int c, Sum sum) {
            if (begin + i < shape.length_q && column + c < shape.value) {
                out.row(in.query_row(sequence, begin + i))[head * shape.value + column + c] = convert<T>(sum);
            }
        });
    }

private:
    // Into shared memory; -inf where a query does not see a key.
    template <class Block>
    DEEPSEEK_HD void scores(Block& block, index_t sequence, index_t head, index_t begin, index_t key) const {
        auto& shared = block.shared();
        typename Tiles::Scores scores;
        scores.add_product(block, shared.products.scores, in.shape.key_width(),
                           in.by_query(in.q, in.shape.key_width(), sequence, head, begin),
                           in.keys(sequence, head, key));
        scores.for_each(block.thread(), [&](int i, int j, Sum sum) {
            shared.p[i][j] = in.sees(sequence, begin + i, key + j) ? sum * static_cast<Sum>(in.shape.scale)
                                                                   : Tiles::kNothing;
        });
        block.sync_warp();  // which has the scores of the queries that its threads see to
    }

    template <class Block>
    DEEPSEEK_HD static Sum sum_together(Block& block, Sum sum) {
        for (int mask = 1; mask < kTogether; mask *= 2) {
            sum += block.shuffle_xor(sum, mask);
        }
        return sum;
    }

    // Multiplies the rows of the result by factors, of which each thread brings that of its query.
    template <class Block>
    DEEPSEEK_HD static void scale(Block& block, typename Tiles::Columns& result, int query, Sum factor) {
        auto& factors = block.shared().factors;
        if (block.thread() % kTogether == 0) {
            factors[query] = factor;
        }
        block.sync();
        for (int r = 0; r < Tiles::Columns::kOwnRows; ++r) {
            for (auto& sum : result.sums[r]) {
                sum *= factors[Tiles::Columns::row(block.thread(), r)];
            }
        }
    }
};

/// Of every query and head: what normalising the row takes off each probability's gradient, dout · out. One warp is one.
template <class T>
struct AttentionDelta {
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = 128;
    static constexpr int kEach = kThreads / kWarp;  ///< of a block
    struct Shared {};

    Sum* delta;  ///< [queries, heads]
    Strided<T const> dout;
    Strided<T const> out;
    index_t heads;
    index_t value;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const at = block.index() * kEach + block.thread() / kWarp;
        auto const lane = block.thread() % kWarp;
        if (at >= out.rows * heads) {
            return;
        }
        auto const* const a = dout.row(at / heads) + at % heads * value;
        auto const* const b = out.row(at / heads) + at % heads * value;
        Sum sum = 0;
        for (index_t c = lane; c < value; c += kWarp) {
            sum += convert<Sum>(a[c]) * convert<Sum>(b[c]);
        }
        sum = warp_sum(block, sum);
        if (lane == 0) {
            delta[at] = sum;
        }
    }
};

/// Gradients of the scores of one tile: p · (dp · kept - delta), where dp = dout · v.
template <class T>
struct AttentionScoreGradient {
    using Tiles = AttentionTiles<T>;
    using Sum = accumulate_t<T>;

    Tiles in;
    Strided<T const> dout;
    Strided<Sum const> lse;
    Sum const* delta;  ///< [queries, heads]

    /// Calls to(i, j, gradient of the scaled score, probability after dropout) for what this thread holds of the tile.
    template <class Block, class F>
    DEEPSEEK_HD void tile(Block& block, index_t sequence, index_t head, index_t query, index_t key,
                          F const& to) const {
        auto const& shape = in.shape;
        auto& memory = block.shared().products.scores;
        typename Tiles::Scores scores;
        scores.add_product(block, memory, shape.key_width(),
                           in.by_query(in.q, shape.key_width(), sequence, head, query),
                           in.keys(sequence, head, key));
        block.sync();
        typename Tiles::Scores dp;
        dp.add_product(block, memory, shape.value, in.by_query(dout, shape.value, sequence, head, query),
                       in.values(sequence, head, key));
        for (int r = 0; r < Tiles::Scores::kOwnRows; ++r) {
            auto const i = Tiles::Scores::row(block.thread(), r);
            auto const row = in.query_row(sequence, query + i);
            for (int c = 0; c < Tiles::Scores::kOwnColumns; ++c) {
                auto const j = Tiles::Scores::column(block.thread(), c);
                Sum gradient = 0;
                Sum weight = 0;
                if (in.sees(sequence, query + i, key + j) && lse.row(row)[head] != Tiles::kNothing) {
                    auto const p =
                        std::exp(scores.sums[r][c] * static_cast<Sum>(shape.scale) - lse.row(row)[head]);
                    auto const kept = in.kept(sequence, head, query + i, key + j);
                    gradient = p * (dp.sums[r][c] * kept - delta[row * shape.heads + head]);
                    weight = p * kept;
                }
                to(i, j, gradient, weight);
            }
        }
        block.sync();
    }
};

/// One block is a head's tile of queries and 64 columns of their gradient.
template <class T>
struct AttentionQueryGradient {
    using Tiles = AttentionTiles<T>;
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = Tiles::kThreads;
    struct Shared {
        typename Tiles::Products products;
        typename Tiles::Square ds;
    };

    AttentionScoreGradient<T> gradient;
    Strided<T> dq;

    index_t blocks() const {
        auto const& shape = gradient.in.shape;
        return Tiles::blocks(shape.sequences, shape.heads, shape.length_q, Tiles::pieces(shape.key_width()));
    }

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const& in = gradient.in;
        auto const& shape = in.shape;
        auto& shared = block.shared();
        auto const width = shape.key_width();
        auto const [sequence, head, begin, piece] =
            Tiles::place(block.index(), shape.heads, shape.length_q, Tiles::pieces(width));
        auto const last = (begin + Tiles::kSide < shape.length_q ? begin + Tiles::kSide : shape.length_q) - 1;
        auto const end = shape.visible(last) < shape.length_k ? shape.visible(last) : shape.length_k;
        auto const column = piece * Tiles::Columns::kColumns;

        typename Tiles::Columns result;
        for (auto key = in.first_key(in.query_row(sequence, begin)); key < end; key += Tiles::kSide) {
            gradient.tile(block, sequence, head, begin, key,
                          [&](int i, int j, Sum score, Sum) { shared.ds[i][j] = score; });
            auto const keys = shape.length_k - key < Tiles::kSide ? shape.length_k - key : Tiles::kSide;
            result.template add_product<true>(
                block, shared.products.columns, keys, typename Tiles::template InShared<false>{shared.ds},
                typename Tiles::KeyColumns{in.keys(sequence, head, key), column, width});
            block.sync();
        }
        result.for_each(block.thread(), [&](int i, int c, Sum sum) {
            if (begin + i < shape.length_q && column + c < width) {
                dq.row(in.query_row(sequence, begin + i))[head * width + column + c] =
                    convert<T>(sum * static_cast<Sum>(shape.scale));
            }
        });
    }
};

/// One block is a head's tile of keys and 64 columns of one of their parts: [nope], [value], or [rope], which all heads
/// share and which is left for RotaryGradient to add up.
template <class T>
struct AttentionKeyGradient {
    using Tiles = AttentionTiles<T>;
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = Tiles::kThreads;
    struct Shared {
        typename Tiles::Products products;
        typename Tiles::Square
            matrix;  // [queries, keys]: what the rows of queries or of dout are multiplied by
    };

    AttentionScoreGradient<T> gradient;
    Strided<T> dkv;
    Sum* rotary;  ///< [keys, heads, rope]

    DEEPSEEK_HD index_t pieces() const {
        auto const& shape = gradient.in.shape;
        return Tiles::pieces(shape.nope) + Tiles::pieces(shape.value) + Tiles::pieces(shape.rope);
    }
    index_t blocks() const {
        auto const& shape = gradient.in.shape;
        return Tiles::blocks(shape.sequences, shape.heads, shape.length_k, pieces());
    }

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const& in = gradient.in;
        auto const& shape = in.shape;
        auto& shared = block.shared();
        auto const [sequence, head, begin, number] =
            Tiles::place(block.index(), shape.heads, shape.length_k, pieces());
        auto const values_from = Tiles::pieces(shape.nope);
        auto const rope_from = values_from + Tiles::pieces(shape.value);
        bool const is_value = number >= values_from && number < rope_from;
        bool const is_rope = number >= rope_from;
        auto const column = (number - (is_rope    ? rope_from
                                       : is_value ? values_from
                                                  : 0)) *
                            Tiles::Columns::kColumns;
        auto const width = is_rope ? shape.rope : is_value ? shape.value : shape.nope;

        auto rows =
            is_value ? gradient.dout : in.q;  // those that are added up, from the head's first column on
        rows.data += is_value ? head * shape.value : head * shape.key_width() + (is_rope ? shape.nope : 0);

        typename Tiles::Columns result;
        for (auto query = shape.first_query(begin); query < shape.length_q; query += Tiles::kSide) {
            auto const row = in.query_row(sequence, query);
            if (in.first_key(row) >= begin + Tiles::kSide) {
                break;  // a later document, and so are all behind it
            }
            gradient.tile(block, sequence, head, query, begin, [&](int i, int j, Sum score, Sum weight) {
                shared.matrix[i][j] = is_value ? weight : score;
            });
            auto const queries =
                shape.length_q - query < Tiles::kSide ? shape.length_q - query : Tiles::kSide;
            result.template add_product<true>(
                block, shared.products.columns, queries,
                typename Tiles::template InShared<true>{shared.matrix},
                Factor<Sum, T>{rows.row(row) + column, rows.stride, width - column, false});
            block.sync();
        }
        result.for_each(block.thread(), [&](int j, int c, Sum sum) {
            if (begin + j >= shape.length_k || column + c >= width) {
                return;
            }
            auto const key = in.key_row(sequence, begin + j);
            if (is_rope) {
                rotary[(key * shape.heads + head) * shape.rope + column + c] = sum;
            } else {
                dkv.row(key)[head * in.own() + (is_value ? shape.nope : 0) + column + c] =
                    convert<T>(is_value ? sum : sum * static_cast<Sum>(shape.scale));
            }
        });
    }
};

/// Adds up what the heads gave the rotary key they share. One thread is one element.
template <class T>
struct RotaryGradient {
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = 128;
    struct Shared {};

    Strided<T> dkr;
    Sum const* rotary;  ///< of AttentionKeyGradient
    index_t heads;
    Sum scale;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const at = block.index() * kThreads + block.thread();
        if (at < dkr.rows * dkr.cols) {
            auto const key = at / dkr.cols;
            auto const c = at % dkr.cols;
            Sum sum = 0;
            for (index_t head = 0; head < heads; ++head) {
                sum += rotary[(key * heads + head) * dkr.cols + c];
            }
            dkr.row(key)[c] = convert<T>(sum * scale);
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::kernels

#endif
