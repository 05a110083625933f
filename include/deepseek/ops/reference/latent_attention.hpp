// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_LATENT_ATTENTION_HPP
#define DEEPSEEK_OPS_REFERENCE_LATENT_ATTENTION_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/portable.hpp>
#include <deepseek/ops/arguments/latent_attention.hpp>

#include <cmath>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// out_h = in_h · w_h, or in_h · w_hᵀ if Transposed; one call per token, head and element.
template <bool Transposed, class T, class W>
struct HeadProduct {
    using Sum = accumulate_t<T>;

    Strided<T> out;
    Strided<T const> in;
    Strided<W const> weight;
    HeadProducts products;

    DEEPSEEK_HD void operator()(index_t call) const {
        auto const element = call % products.out;
        auto const head = call / products.out % products.heads;
        auto const token = call / products.out / products.heads;
        auto const* const from = in.row(token) + head * products.in_stride;
        auto const first = head * products.weight_stride + products.weight_begin;
        Sum sum = 0;
        for (index_t c = 0; c < products.in; ++c) {
            auto const factor = Transposed ? weight.row(first + element)[c] : weight.row(first + c)[element];
            sum += convert<Sum>(from[c]) * convert<Sum>(factor);
        }
        out.row(token)[head * products.out_stride + element] = convert<T>(sum);
    }
};

/// One call per token and head.
template <class T, class C>
struct LatentAttention {
    using Sum = accumulate_t<T>;

    Strided<T> context;
    Strided<T const> q_latent;
    Strided<T const> q;
    Strided<C const> latent;
    Strided<C const> key;
    LatentShape shape;
    Sum* sums;  ///< [tokens, heads * rank]: context before it is rounded to T

    DEEPSEEK_HD Sum score(index_t token, index_t head, index_t position) const {
        auto const* const by_content = q_latent.row(token) + head * shape.rank;
        auto const* const by_place = q.row(token) + head * (shape.nope + shape.rope) + shape.nope;
        Sum sum = 0;
        for (index_t c = 0; c < shape.rank; ++c) {
            sum += convert<Sum>(by_content[c]) * convert<Sum>(latent.row(position)[c]);
        }
        for (index_t c = 0; c < shape.rope; ++c) {
            sum += convert<Sum>(by_place[c]) * convert<Sum>(key.row(position)[c]);
        }
        return sum * static_cast<Sum>(shape.scale);
    }

    DEEPSEEK_HD void operator()(index_t call) const {
        auto const token = call / shape.heads;
        auto const head = call % shape.heads;
        auto* const sum = sums + call * shape.rank;  // [rank]
        for (index_t c = 0; c < shape.rank; ++c) {
            sum[c] = 0;
        }
        constexpr Sum kNothing = -detail::kInfinity<Sum>;
        Sum largest = kNothing;
        Sum total = 0;  // of exp(score - largest)
        for (index_t position = 0; position < shape.visible(token); ++position) {
            auto const value = score(token, head, position);
            if (value == kNothing) {
                continue;  // as if not seen; -inf less -inf would be NaN
            }
            Sum correction = 1;  // of what was summed relative to a smaller maximum
            if (value > largest) {
                correction = std::exp(largest - value);
                largest = value;
            }
            auto const weight = std::exp(value - largest);
            total = total * correction + weight;
            for (index_t c = 0; c < shape.rank; ++c) {
                sum[c] = sum[c] * correction + weight * convert<Sum>(latent.row(position)[c]);
            }
        }
        for (index_t c = 0; c < shape.rank; ++c) {
            context.row(token)[head * shape.rank + c] = convert<T>(total == 0 ? Sum{0} : sum[c] / total);
        }
    }
};

}  // namespace loop

template <class B, class T, class W>
void reference(AbsorbQuery, B& be, Strided<T> out, Strided<T const> in, Strided<W const> weight,
               HeadProducts const& products) {
    be.for_each(products.tokens * products.heads * products.out, products.in,
                loop::HeadProduct<false, T, W>{out, in, weight, products});
}

template <class B, class T, class W>
void reference(ExpandValues, B& be, Strided<T> out, Strided<T const> in, Strided<W const> weight,
               HeadProducts const& products) {
    be.for_each(products.tokens * products.heads * products.out, products.in,
                loop::HeadProduct<true, T, W>{out, in, weight, products});
}

template <class B, class T, class C>
void reference(LatentAttention, B& be, Strided<T> context, Strided<T const> q_latent, Strided<T const> q,
               Strided<C const> latent, Strided<C const> key, LatentShape const& shape) {
    auto const scope = be.scratch().scope();
    auto* const sums =
        be.scratch().template take<accumulate_t<T>>(checked_mul(shape.tokens, shape.heads * shape.rank));
    be.for_each(shape.tokens * shape.heads, shape.positions * (2 * shape.rank + shape.rope),
                loop::LatentAttention<T, C>{context, q_latent, q, latent, key, shape, sums});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
