// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_LATENT_ATTENTION_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_LATENT_ATTENTION_HPP

#include <deepseek/backend/cpu/measured/attention_tile.hpp>
#include <deepseek/backend/cpu/measured/exp2.hpp>
#include <deepseek/backend/cpu/measured/running_softmax.hpp>
#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/measured/transpose.hpp>
#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/latent_attention.hpp>

#include <algorithm>
#include <memory>
#include <numbers>

// Attention over the latent cache on the pool of a Cpu. All heads of all tokens are queries against the same keys, so
// they lie side by side as the lanes of the tiles of attention_tile.hpp, and an entry of the cache is read once for all
// of them.

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

namespace detail {

/// How the positions are cut: into parts, each with a softmax of its own; these are merged in order. The cut depends on
/// the shape alone, so the bits do not depend on the number of threads.
struct LatentCut {
    static constexpr index_t kMostParts = 32;
    static constexpr index_t kLeastPositions = 256;

    index_t positions;  ///< of a part
    index_t parts;

    template <class Tile>
    static LatentCut make(LatentShape const& shape) {
        auto const even = round_up(ceil_div(shape.positions, kMostParts), Tile::kKeys);
        auto const positions = std::max(kLeastPositions, even);
        return {positions, ceil_div(shape.positions, positions)};
    }
};

/// The inputs, and how queries, all heads of one token after the other, lie in strips of lanes.
template <class T, class C>
struct LatentInputs {
    LatentShape shape;
    Strided<T const> q_latent;
    Strided<T const> q;
    Strided<C const> latent;
    Strided<C const> key;

    index_t queries() const { return shape.tokens * shape.heads; }
    index_t key_width() const { return shape.rank + shape.rope; }
    index_t key_stride() const { return round_up(key_width(), AttentionTile<T>::kPad); }

    /// Calls f(token, head, lane, count) for the lanes [lane, lane + count) that belong to one token, from head `head`
    /// on; for every token in the strip of `width` lanes that begins at query `begin`.
    template <class F>
    void for_runs(index_t begin, index_t width, F const& f) const {
        auto const end = std::min(queries(), begin + width);
        for (auto query = begin; query < end;) {
            auto const head = query % shape.heads;
            auto const count = std::min(shape.heads - head, end - query);
            f(query / shape.heads, head, query - begin, count);
            query += count;
        }
    }
};

// Strips [first, last) of queries against the positions of part `part`; leaves their states at `states`, one after the
// other from strip 0.
template <int Vectors, class T, class C>
void attend_latents(T* states, LatentInputs<T, C> const& in, LatentCut const& cut, index_t part,
                    index_t first, index_t last, Workspace& workspace) {
    using Tile = AttentionTile<T>;
    using Softmax = RunningSoftmax<T, Vectors>;
    auto const& shape = in.shape;
    auto const stride = in.key_stride();
    auto const query_size = in.key_width() * Softmax::kQueries;
    auto const scope = workspace.scope();
    auto* const scores = workspace.take<T>(Tile::kKeys * Softmax::kQueries);
    auto* const keys = workspace.take<T>(Tile::kKeys * stride);  // [kKeys, latent | rotary key]
    // Of all strips, though they may be divided among tasks: a longer context may divide them otherwise.
    auto const most = ceil_div(in.queries(), Softmax::kQueries);
    auto* const queries = workspace.take<T>(most * query_size);
    auto* const strips = workspace.take<Softmax>(most);
    std::fill_n(keys, Tile::kKeys * stride, T{});
    std::fill_n(queries, (last - first) * query_size, T{});
    for (auto s = first; s < last; ++s) {
        auto* const columns = queries + (s - first) * query_size;
        in.for_runs(
            s * Softmax::kQueries, Softmax::kQueries,
            [&](index_t token, index_t head, index_t lane, index_t count) {
                copy_transposed(columns + lane, Softmax::kQueries, in.q_latent.row(token) + head * shape.rank,
                                shape.rank, count, shape.rank);
                auto const q_width = shape.nope + shape.rope;
                copy_transposed(columns + shape.rank * Softmax::kQueries + lane, Softmax::kQueries,
                                in.q.row(token) + head * q_width + shape.nope, q_width, count, shape.rope);
            });
        std::construct_at(strips + (s - first), states + s * Softmax::size(shape.rank), columns,
                          in.key_width(), shape.rank);
    }

    auto const factor = static_cast<T>(shape.scale * std::numbers::log2e);
    auto const end = std::min(shape.positions, (part + 1) * cut.positions);
    for (auto begin = part * cut.positions; begin < end; begin += Tile::kKeys) {
        auto const count = std::min(Tile::kKeys, end - begin);
        auto const padded = round_up(count, Tile::kRows);
        for (index_t j = 0; j < count; ++j) {
            copy_row(keys + j * stride, in.latent.row(begin + j), shape.rank);
            copy_row(keys + j * stride + shape.rank, in.key.row(begin + j), shape.rope);
        }
        std::fill(keys + count * stride, keys + padded * stride, T{});
        for (auto s = first; s < last; ++s) {
            auto const first_query = s * Softmax::kQueries;
            auto const last_query = std::min(in.queries(), first_query + Softmax::kQueries) - 1;
            auto const seen = std::min(count, shape.visible(last_query / shape.heads) - begin);
            auto const seen_by_all = std::min(count, shape.visible(first_query / shape.heads) - begin);
            if (seen <= 0) {
                continue;
            }
            auto const rows = round_up(seen, Tile::kRows);
            alignas(kVectorBytes) T limits[Softmax::kQueries];
            if (rows > seen_by_all) {
                for (index_t lane = 0; lane < Softmax::kQueries; ++lane) {
                    auto const token = std::min(first_query + lane, last_query) / shape.heads;
                    limits[lane] = static_cast<T>(std::min(count, shape.visible(token) - begin));
                }
            }
            strips[s - first].add({keys, stride, keys, stride, rows}, factor, seen_by_all, limits, scores,
                                  [](T*) {});
        }
    }
}

// Adds up the parts of one strip, in their order, and writes its rows of context. The parts' states are
// `part_size` elements apart.
template <int Vectors, class T, class C>
void merge_parts(Strided<T> context, T const* states, index_t part_size, LatentInputs<T, C> const& in,
                 index_t parts, index_t strip, Workspace& workspace) {
    using Softmax = RunningSoftmax<T, Vectors>;
    using V = Simd<T, kLanes<T>>;
    constexpr auto kQueries = Softmax::kQueries;
    auto const rank = in.shape.rank;
    auto const sums_size = Softmax::size(rank) - 2 * kQueries;
    auto const scope = workspace.scope();
    auto* const sums = workspace.take<T>(rank * kQueries);
    auto* const weights = workspace.take<T>(LatentCut::kMostParts * kQueries);
    auto const* const first = states + strip * Softmax::size(rank);
    for (index_t lane = 0; lane < kQueries; lane += kLanes<T>) {
        auto const at = [&](index_t part, index_t offset) {
            return load<T, kLanes<T>>(first + part * part_size + offset + lane);
        };
        V largest = at(0, sums_size);
        for (index_t part = 1; part < parts; ++part) {
            auto const other = at(part, sums_size);
            largest = other > largest ? other : largest;
        }
        V const base = largest == Softmax::kNothing ? V{} : largest;
        V total{};
        for (index_t part = 0; part < parts; ++part) {
            V const weight = exp2<T, kLanes<T>>(at(part, sums_size) - base);
            total += at(part, sums_size + kQueries) * weight;
            store(weights + part * kQueries + lane, weight);
        }
        for (index_t part = 0; part < parts; ++part) {
            V const weight = load<T, kLanes<T>>(weights + part * kQueries + lane);
            store(weights + part * kQueries + lane, total == T{0} ? V{} : weight / total);
        }
        for (index_t c = 0; c < rank; ++c) {
            V sum{};
            for (index_t part = 0; part < parts; ++part) {
                sum += at(part, c * kQueries) * load<T, kLanes<T>>(weights + part * kQueries + lane);
            }
            store(sums + c * kQueries + lane, sum);
        }
    }
    in.for_runs(strip * kQueries, kQueries, [&](index_t token, index_t head, index_t lane, index_t count) {
        copy_transposed(context.row(token) + head * rank, rank, sums + lane, kQueries, rank, count);
    });
}

template <int Vectors, class T, class C, class Scratch>
void latent_attention(Pool& pool, Scratch& scratch, Strided<T> context, LatentInputs<T, C> const& in) {
    using Softmax = RunningSoftmax<T, Vectors>;
    auto const cut = LatentCut::make<AttentionTile<T>>(in.shape);
    auto const strips = ceil_div(in.queries(), Softmax::kQueries);
    auto const part_size = checked_mul(strips, Softmax::size(in.shape.rank));
    auto const scope = scratch.scope();
    // As much as the longest context needs, so that generating does not allocate as it goes on.
    auto* const states = scratch.template take<T>(checked_mul(LatentCut::kMostParts, part_size));

    // A task takes all strips of a part, which reads the cache once, unless that leaves threads without a task.
    auto const together = cut.parts >= 2 * index_t{pool.threads()} || pool.threads() == 1 ? strips : 1;
    auto const tasks_per_part = ceil_div(strips, together);
    pool.run(cut.parts * tasks_per_part, [&](index_t task, int worker) {
        auto const part = task / tasks_per_part;
        auto const first = task % tasks_per_part * together;
        attend_latents<Vectors>(states + part * part_size, in, cut, part, first,
                                std::min(strips, first + together), pool.workspace(worker));
    });
    pool.run(strips, [&](index_t strip, int worker) {
        merge_parts<Vectors>(context, states, part_size, in, cut.parts, strip, pool.workspace(worker));
    });
}

}  // namespace detail

/// See ops::latent_attention. Takes temporary memory from `scratch`, an Arena.
template <class T, class C, class Scratch>
void latent_attention(Pool& pool, Scratch& scratch, Strided<T> context, Strided<T const> q_latent,
                      Strided<T const> q, Strided<C const> latent, Strided<C const> key,
                      LatentShape const& shape) {
    detail::LatentInputs<T, C> const in{shape, q_latent, q, latent, key};
    if (in.queries() <= kLanes<T>) {
        detail::latent_attention<1>(pool, scratch, context, in);
    } else {
        detail::latent_attention<2>(pool, scratch, context, in);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
