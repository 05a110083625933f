// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_ADAMW_HPP
#define DEEPSEEK_OPS_GENERIC_ADAMW_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/detail/math.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

/// One call is kBlock elements. S: the type that is computed in.
template <class W, class G, class M, class S>
struct AdamW {
    static constexpr index_t kBlock = 2048;

    W* weight;
    G const* gradient;
    M* first;
    M* second;
    index_t count;
    S keep;  // 1 - rate · weight_decay
    S step;  // rate / correction1
    S beta1;
    S beta2;
    S rest1;  // 1 - beta1, rounded once
    S rest2;
    S inverse_root2;  // 1 / sqrt(correction2)
    S epsilon;
    S gradient_scale;

    DEEPSEEK_HD void operator()(index_t block) const {
        auto const c = *this;  // a local copy cannot be what the stores below change
        auto const begin = block * kBlock;
        auto const end = begin + kBlock < c.count ? begin + kBlock : c.count;
        for (auto i = begin; i < end; ++i) {
            auto const g = convert<S>(c.gradient[i]) * c.gradient_scale;
            auto const m = c.beta1 * convert<S>(c.first[i]) + c.rest1 * g;
            auto const v = c.beta2 * convert<S>(c.second[i]) + c.rest2 * (g * g);
            auto const root = detail::sqrt(v) * c.inverse_root2 + c.epsilon;
            auto const w = convert<S>(c.weight[i]) * c.keep - c.step * (m / root);
            c.first[i] = convert<M>(m);
            c.second[i] = convert<M>(v);
            c.weight[i] = convert<W>(w);
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
