// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_DISPATCH_HPP
#define DEEPSEEK_OPS_REFERENCE_DISPATCH_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// A counting sort. One call does all.
struct DispatchPairs {
    std::int32_t* offsets;
    std::int32_t* pair_at;
    std::int32_t* row_of;
    Strided<std::int32_t const> chosen;
    index_t experts;

    DEEPSEEK_HD void operator()(index_t) const {
        auto const top_k = chosen.cols;
        auto* const end = offsets + 1;
        for (index_t e = 0; e <= experts; ++e) {
            offsets[e] = 0;
        }
        for (index_t t = 0; t < chosen.rows; ++t) {
            for (index_t k = 0; k < top_k; ++k) {
                ++end[chosen.row(t)[k]];  // counts
            }
        }
        for (index_t e = 0; e < experts; ++e) {
            end[e] += offsets[e];
        }
        for (index_t t = 0; t < chosen.rows; ++t) {
            for (index_t k = 0; k < top_k; ++k) {
                auto const pair = t * top_k + k;
                auto const row = offsets[chosen.row(t)[k]]++;
                row_of[pair] = row;
                pair_at[row] = static_cast<std::int32_t>(pair);
            }
        }
        for (index_t e = experts; e > 0; --e) {  // each beginning has moved to where the next one was
            offsets[e] = offsets[e - 1];
        }
        offsets[0] = 0;
    }
};

/// One call does all.
template <class G>
struct CountLoad {
    G* load;
    Strided<std::int32_t const> chosen;
    Token const* targets;

    DEEPSEEK_HD void operator()(index_t) const {
        for (index_t t = 0; t < chosen.rows; ++t) {
            for (index_t k = 0; k < chosen.cols && (targets == nullptr || targets[t] >= 0); ++k) {
                auto& count = load[chosen.row(t)[k]];
                count = as_value<G>(count_in(count) + 1);
            }
        }
    }
};

/// One call is one row.
template <class T>
struct GatherPairs {
    Strided<T> y;
    Strided<T const> x;
    std::int32_t const* pair_at;
    index_t top_k;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const* const from = x.row(pair_at[row] / top_k);
        for (index_t c = 0; c < y.cols; ++c) {
            y.row(row)[c] = from[c];
        }
    }
};

/// One call is one token.
template <class T, class G>
struct CombinePairs {
    using Sum = accumulate_t<T>;

    Strided<T> y;
    Strided<T const> x;
    Strided<G const> gates;
    std::int32_t const* row_of;
    bool add;

    DEEPSEEK_HD void operator()(index_t token) const {
        for (index_t c = 0; c < y.cols; ++c) {
            Sum sum = add ? convert<Sum>(y.row(token)[c]) : 0;
            for (index_t k = 0; k < gates.cols; ++k) {
                auto const value = convert<Sum>(x.row(row_of[token * gates.cols + k])[c]);
                sum += gates.data == nullptr ? value : convert<Sum>(gates.row(token)[k]) * value;
            }
            y.row(token)[c] = convert<T>(sum);
        }
    }
};

/// One call is one pair.
template <class D, class T, class G>
struct GateBackward {
    using Sum = accumulate_t<T>;

    Strided<D> dgates;
    Strided<T> hidden;
    Strided<T> dhidden;
    Strided<G const> gates;
    std::int32_t const* pair_at;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const token = pair_at[row] / gates.cols;
        auto const choice = pair_at[row] % gates.cols;
        auto* const h = hidden.row(row);
        auto* const dh = dhidden.row(row);
        auto const gate = convert<Sum>(gates.row(token)[choice]);
        Sum dot = 0;
        for (index_t c = 0; c < hidden.cols; ++c) {
            dot += convert<Sum>(h[c]) * convert<Sum>(dh[c]);
            h[c] = convert<T>(convert<Sum>(h[c]) * gate);
            dh[c] = convert<T>(convert<Sum>(dh[c]) * gate);
        }
        dgates.row(token)[choice] = convert<D>(dot);
    }
};

}  // namespace loop

template <class B>
void reference(DispatchPairs, B& be, std::int32_t* offsets, std::int32_t* pair_at, std::int32_t* row_of,
               Strided<std::int32_t const> chosen, index_t experts) {
    be.for_each(1, chosen.rows * chosen.cols, loop::DispatchPairs{offsets, pair_at, row_of, chosen, experts});
}

template <class B, class G>
void reference(CountLoad, B& be, G* load, Strided<std::int32_t const> chosen, Token const* targets) {
    be.for_each(1, chosen.rows * chosen.cols, loop::CountLoad<G>{load, chosen, targets});
}

template <class B, class T>
void reference(GatherPairs, B& be, Strided<T> y, Strided<T const> x, std::int32_t const* pair_at,
               index_t top_k) {
    be.for_each(y.rows, y.cols, loop::GatherPairs<T>{y, x, pair_at, top_k});
}

template <class B, class T, class G>
void reference(CombinePairs, B& be, Strided<T> y, Strided<T const> x, Strided<G const> gates,
               std::int32_t const* row_of, bool add) {
    be.for_each(y.rows, y.cols * gates.cols, loop::CombinePairs<T, G>{y, x, gates, row_of, add});
}

template <class B, class D, class T, class G>
void reference(GateBackward, B& be, Strided<D> dgates, Strided<T> hidden, Strided<T> dhidden,
               Strided<G const> gates, std::int32_t const* pair_at) {
    be.for_each(hidden.rows, 4 * hidden.cols,
                loop::GateBackward<D, T, G>{dgates, hidden, dhidden, gates, pair_at});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
