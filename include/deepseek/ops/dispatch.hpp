// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_DISPATCH_HPP
#define DEEPSEEK_OPS_DISPATCH_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/dispatch.hpp>
#include <deepseek/ops/write.hpp>

#include <cstdint>
#include <type_traits>

// Moves tokens to the experts that were chosen for them and their outputs back. A pair is (token, choice), numbered
// token * TopK + choice; dispatch sorts the pairs by expert, tokens in order within one expert.

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Where every pair goes.
///
/// Shapes:    offsets [Experts + 1]; pair_at, row_of [tokens * TopK]
struct Dispatch {
    std::int32_t* offsets = nullptr;  ///< expert e owns the sorted rows [offsets[e], offsets[e + 1])
    std::int32_t* pair_at = nullptr;  ///< the pair at each sorted row
    std::int32_t* row_of = nullptr;   ///< the sorted row of each pair
};

/// Sorts the pairs by expert: a stable counting sort.
///
/// Shapes:    chosen [tokens, TopK], ids in [0, Experts); the memory of `plan` is the caller's
template <index_t Experts, class B, class I, index_t TopK>
void dispatch(B& be, Dispatch plan, Rows<I, TopK> chosen) {
    call<DispatchPairs>(be, plan.offsets, plan.pair_at, plan.row_of,
                        Strided<std::int32_t const>(chosen.strided()), Experts);
}

/// load[e] += the number of pairs of expert e, those of tokens with a negative target left out. Exact: load holds counts,
/// not values (see count_t).
///
/// Shapes:    load [Experts]; chosen [tokens, TopK]; targets [tokens], or null: all tokens count
template <class B, class T, class I, index_t Experts, index_t TopK>
void count_load(B& be, Matrix<T, Experts, 1> load, Rows<I, TopK> chosen, Token const* targets = nullptr) {
    if (chosen.rows == 0) {
        return;
    }
    call<CountLoad>(be, load.data, Strided<std::int32_t const>(chosen.strided()), targets);
}

/// y[row] = x[token of the pair at row].
///
/// Shapes:    y [tokens * TopK, C]; x [tokens, C]
/// Errors:    ShapeError if y has not TopK rows per row of x
template <index_t TopK, class B, class T, index_t C>
void gather_pairs(B& be, Rows<T, C> y, std::type_identity_t<Rows<T const, C>> x,
                  std::int32_t const* pair_at) {
    expects<ShapeError>(y.rows == x.rows * TopK, "gather_pairs: ", y.rows, " rows from ", x.rows, " tokens");
    if (y.rows == 0) {
        return;
    }
    call<GatherPairs>(be, y.strided(), x.strided(), pair_at, TopK);
}

/// y[token] (=|+=) the sum over its pairs of gate * x[row of the pair], experts in ascending order. Without gates (null
/// data) a plain sum: the gradient of gather_pairs.
///
/// Shapes:    y [tokens, C]; x [tokens * TopK, C]; gates [tokens, TopK]
/// Precision: sums in accumulate_t, rounded once; gates may be of a wider type than x
/// Errors:    ShapeError if x has not TopK rows per row of y
template <class B, class T, class G, index_t C, index_t TopK>
void combine_pairs(B& be, Rows<T, C> y, std::type_identity_t<Rows<T const, C>> x, Rows<G, TopK> gates,
                   std::int32_t const* row_of, Write write) {
    expects<ShapeError>(x.rows == y.rows * TopK, "combine_pairs: ", x.rows, " rows into ", y.rows, " tokens");
    if (y.rows == 0) {
        return;
    }
    call<CombinePairs>(be, y.strided(), x.strided(), Strided<std::remove_const_t<G> const>(gates.strided()),
                       row_of, write == Write::add);
}

/// The gates' part of the experts' backward pass, between two products. With hidden activation h and dh the gradient it
/// would have at gate 1, the gate's gradient is h · dh; then both are scaled by the gate, so that the gradients of the
/// down projection (from h) and of what lies before it (from dh) see it.
///
/// Shapes:    dgates, gates [tokens, TopK], the former written; hidden, dhidden [tokens * TopK, C] in sorted rows,
///            scaled in place
/// Precision: sums in accumulate_t; gates and their gradients may be of a wider type than the activations
/// Errors:    ShapeError if the row counts differ
template <class B, class D, class T, class G, index_t C, index_t TopK>
void gate_backward(B& be, Rows<D, TopK> dgates, Rows<T, C> hidden, Rows<T, C> dhidden, Rows<G, TopK> gates,
                   std::int32_t const* pair_at) {
    expects<ShapeError>(
        hidden.rows == dhidden.rows && hidden.rows == gates.rows * TopK && gates.rows == dgates.rows,
        "gate_backward: the row counts differ");
    if (hidden.rows == 0) {
        return;
    }
    call<GateBackward>(be, dgates.strided(), hidden.strided(), dhidden.strided(),
                       Strided<std::remove_const_t<G> const>(gates.strided()), pair_at);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
