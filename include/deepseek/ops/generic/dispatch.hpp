// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_DISPATCH_HPP
#define DEEPSEEK_OPS_GENERIC_DISPATCH_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/lanes.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

template <index_t Experts, index_t TopK>
struct CountingSort {
    std::int32_t* offsets;
    std::int32_t* pair_at;
    std::int32_t* row_of;
    Rows<std::int32_t const, TopK> chosen;

    DEEPSEEK_HD void operator()(index_t) const {
        std::int32_t next[Experts] = {};  // counts first, then the next free row of each expert
        for (index_t t = 0; t < chosen.rows; ++t) {
            for (index_t k = 0; k < TopK; ++k) {
                ++next[chosen.row(t)[k]];
            }
        }
        std::int32_t begin = 0;
        for (index_t e = 0; e < Experts; ++e) {
            offsets[e] = begin;
            begin += next[e];
            next[e] = offsets[e];
        }
        offsets[Experts] = begin;
        for (index_t t = 0; t < chosen.rows; ++t) {
            for (index_t k = 0; k < TopK; ++k) {
                auto const pair = t * TopK + k;
                auto const row = next[chosen.row(t)[k]]++;
                row_of[pair] = row;
                pair_at[row] = static_cast<std::int32_t>(pair);
            }
        }
    }
};

template <class T, index_t Experts, index_t TopK>
struct CountLoad {
    Matrix<T, Experts, 1> load;
    Rows<std::int32_t const, TopK> chosen;
    Token const* targets;

    DEEPSEEK_HD void operator()(index_t) const {
        count_t<T> added[Experts] = {};
        for (index_t t = 0; t < chosen.rows; ++t) {
            for (index_t k = 0; k < TopK && (targets == nullptr || targets[t] >= 0); ++k) {
                ++added[chosen.row(t)[k]];
            }
        }
        for (index_t e = 0; e < Experts; ++e) {
            load.data[e] = as_value<T>(count_in(load.data[e]) + added[e]);
        }
    }
};

template <class T, index_t C, index_t TopK>
struct GatherPair {
    Rows<T, C> y;
    Rows<T const, C> x;
    std::int32_t const* pair_at;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const* const from = x.row(pair_at[row] / TopK);
        auto* const to = y.row(row);
        for (index_t c = 0; c < C; ++c) {
            to[c] = from[c];
        }
    }
};

template <class T, index_t C, index_t TopK>
struct CombinePairs {
    Rows<T, C> y;
    Rows<T const, C> x;
    Rows<T const, TopK> gates;
    std::int32_t const* row_of;
    bool add;

    DEEPSEEK_HD void operator()(index_t token) const {
        auto* const to = y.row(token);
        for (index_t k = 0; k < TopK; ++k) {
            auto const* const from = x.row(row_of[token * TopK + k]);
            auto const gate = gates.data == nullptr ? T{1} : gates.row(token)[k];
            if (k == 0 && !add) {
                for (index_t c = 0; c < C; ++c) {
                    to[c] = gate * from[c];
                }
            } else {
                for (index_t c = 0; c < C; ++c) {
                    to[c] += gate * from[c];
                }
            }
        }
    }
};

template <class T, index_t C, index_t TopK>
struct GateBackward {
    Rows<T, TopK> dgates;
    Rows<T, C> hidden;
    Rows<T, C> dhidden;
    Rows<T const, TopK> gates;
    std::int32_t const* pair_at;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const pair = pair_at[row];
        auto* const h = hidden.row(row);
        auto* const dh = dhidden.row(row);
        dgates.row(pair / TopK)[pair % TopK] = detail::dot<T, C>(h, dh);
        auto const gate = gates.row(pair / TopK)[pair % TopK];
        for (index_t c = 0; c < C; ++c) {
            h[c] *= gate;
            dh[c] *= gate;
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
