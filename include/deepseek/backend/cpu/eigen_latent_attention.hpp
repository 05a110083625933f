// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_EIGEN_LATENT_ATTENTION_HPP
#define DEEPSEEK_BACKEND_CPU_EIGEN_LATENT_ATTENTION_HPP

#include <deepseek/backend/cpu/eigen_product.hpp>
#include <deepseek/backend/cpu/eigen_softmax.hpp>
#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/backend/cpu/product_cut.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/latent_attention.hpp>

#include <algorithm>

// Attention over the latent cache by Eigen. The positions are cut into parts, each with a softmax of its own; these are
// merged in order. The cut depends on the shape alone, so the bits do not depend on the number of threads.

namespace deepseek::inline DEEPSEEK_ABI::cpu {

namespace detail {

inline constexpr index_t kLatentParts = 32;  // at most

/// One token's heads against the positions of one part.
template <class T, class C>
struct EigenLatents {
    using S = accumulate_t<T>;
    static constexpr index_t kPositions = 128;  // of a block

    Strided<T const> q_latent;
    Strided<T const> q;
    Strided<C const> latent;
    Strided<C const> key;
    LatentShape const& shape;

    void attend(S* state, index_t token, index_t begin, index_t end, Workspace& workspace) const {
        auto const width = shape.rank + shape.rope;
        auto const scope = workspace.scope();
        auto* const queries = workspace.take<S>(shape.heads * width);
        auto* const keys = workspace.take<S>(kPositions * width);
        auto* const values = workspace.take<S>(kPositions * shape.rank);
        auto* const scores = workspace.take<S>(shape.heads * kPositions);
        EigenSoftmax<S> softmax(state, shape.heads, shape.rank);
        copy_block(queries, Strided<T const>{q_latent.row(token), shape.heads, shape.rank, shape.rank},
                   width);
        copy_block(
            queries + shape.rank,
            Strided<T const>{q.row(token) + shape.nope, shape.heads, shape.rope, shape.nope + shape.rope},
            width);
        end = std::min(end, shape.visible(token));
        for (; begin < end; begin += kPositions) {
            auto const count = std::min(kPositions, end - begin);
            Strided<C const> const latents{latent.row(begin), count, shape.rank, latent.stride};
            copy_block(keys, latents, width);
            copy_block(keys + shape.rank, Strided<C const>{key.row(begin), count, shape.rope, key.stride},
                       width);
            copy_block(values, latents, shape.rank);
            assign_product(scores, kPositions, static_cast<S const*>(queries), width,
                           static_cast<S const*>(keys), width, shape.heads, count, width);
            softmax.add(
                scores, kPositions, values, count, static_cast<S>(shape.scale),
                [=](index_t) { return count; }, [](index_t, S*) {});
        }
    }
};

}  // namespace detail

/// See ops::latent_attention. Takes temporary memory from `scratch`, an Arena.
template <class T, class C, class Scratch>
void latent_attention_by_eigen(Pool& pool, Scratch& scratch, Strided<T> context, Strided<T const> q_latent,
                               Strided<T const> q, Strided<C const> latent, Strided<C const> key,
                               LatentShape const& shape) {
    using S = accumulate_t<T>;
    using Latents = detail::EigenLatents<T, C>;
    using Softmax = detail::EigenSoftmax<S>;
    auto const length = std::max<index_t>(
        256, round_up(ceil_div(shape.positions, detail::kLatentParts), Latents::kPositions));
    auto const parts = ceil_div(shape.positions, length);
    auto const size = Softmax::size(shape.heads, shape.rank);
    auto const scope = scratch.scope();
    // As much as the longest context needs, so that generating does not allocate as it goes on.
    auto* const states = scratch.template take<S>(checked_mul(shape.tokens * detail::kLatentParts, size));
    Latents const in{q_latent, q, latent, key, shape};
    pool.run(shape.tokens * parts, [&](index_t task, int worker) {
        auto const begin = task % parts * length;
        in.attend(states + task * size, task / parts, begin, std::min(begin + length, shape.positions),
                  pool.workspace(worker));
    });
    pool.run(shape.tokens, [&](index_t token) {
        auto* const first = states + token * parts * size;
        Softmax whole(first, shape.heads, shape.rank, false);
        for (index_t part = 1; part < parts; ++part) {
            whole.merge(Softmax(first + part * size, shape.heads, shape.rank, false));
        }
        for (index_t head = 0; head < shape.heads; ++head) {
            whole.write(head, context.row(token) + head * shape.rank);
        }
    });
}

/// See ops::absorb_query and, transposed, ops::expand_values: a product per head.
template <class T, class W>
void head_products_by_eigen(Pool& pool, Strided<T> out, Strided<T const> in, Strided<W const> weight,
                            bool transposed, HeadProducts const& products) {
    pool.run(products.heads, [&](index_t head, int worker) {
        auto const* const matrix = weight.row(head * products.weight_stride + products.weight_begin);
        Product<T, T, W> const product{
            {out.data + head * products.out_stride, products.tokens, products.out, out.stride},
            {in.data + head * products.in_stride, in.stride, true},
            {matrix, weight.stride, transposed},
            products.in,
            false};
        detail::multiply_part(product, Cut::By::blocks, pool.workspace(worker));
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
