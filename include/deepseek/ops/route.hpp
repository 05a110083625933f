// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ROUTE_HPP
#define DEEPSEEK_OPS_ROUTE_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/routing.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/route.hpp>

#include <cstdint>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Chooses TopK experts per token and computes their gates.
///
/// Affinity s is the scoring function of the logits. Experts are chosen by s + bias, within the best groups (sigmoid: a
/// group counts the sum of its two best; softmax: its best), ties to the lower index. Gates come from s alone.
///
/// Shapes:    logits [tokens, Experts], replaced by the affinities s; bias [Experts] or null;
///            chosen [tokens, TopK], expert ids in ascending order; gates [tokens, TopK] in the same order
/// Precision: sums and the choice in accumulate_t; affinities and gates are rounded to the logits' type, which should be
///            float or wider
/// Errors:    ShapeError if the row counts differ
/// Source:    DeepSeek-V3 technical report, eq. 12-16; the normaliser is the sum + 1e-20
template <class B, class T, index_t Experts, index_t TopK>
void route(B& be, Rows<T, Experts> logits, accumulate_t<T> const* bias, Rows<std::int32_t, TopK> chosen,
           Rows<T, TopK> gates, Routing const& routing) {
    expects<ShapeError>(logits.rows == chosen.rows && logits.rows == gates.rows, "route: logits have ",
                        logits.rows, " rows, chosen ", chosen.rows, ", gates ", gates.rows);
    if (logits.rows == 0) {
        return;
    }
    call<Route>(be, logits.strided(), bias, chosen.strided(), gates.strided(), routing);
}

/// Gradient of the router's logits from those of the gates. Nothing flows through the choice. With a balance loss,
/// `load` holds its factor per sequence and expert (see balance_loss) and every expert's affinity receives its share.
///
/// Shapes:    dlogits [tokens, Experts]; dgates [tokens, TopK]; scores: affinities [tokens, Experts];
///            load [sequences, Experts], or null data for none; targets [tokens]: tokens with a negative one have no
///            share in the balance loss, or null
/// Units:     balance_scale is what the mean balance loss is multiplied with: alpha
/// Errors:    ShapeError if the row counts differ, or with a load are not those of its sequences
template <class B, class T, class G, class I, index_t Experts, index_t TopK>
void route_backward(B& be, Rows<T, Experts> dlogits, Rows<G, TopK> dgates,
                    std::type_identity_t<Rows<T const, Experts>> scores, Rows<I, TopK> chosen,
                    Routing const& routing, std::type_identity_t<Rows<accumulate_t<T> const, Experts>> load,
                    accumulate_t<T> balance_scale, index_t sequence_length, Token const* targets = nullptr) {
    expects<ShapeError>(
        dlogits.rows == dgates.rows && dlogits.rows == scores.rows && dlogits.rows == chosen.rows,
        "route_backward: the row counts differ");
    expects<ShapeError>(
        load.data == nullptr || (sequence_length > 0 && dlogits.rows == load.rows * sequence_length),
        "route_backward: ", dlogits.rows, " rows are not ", load.rows, " sequences of ", sequence_length);
    if (dlogits.rows == 0) {
        return;
    }
    call<RouteBackward>(be, dlogits.strided(), Strided<std::remove_const_t<G> const>(dgates.strided()),
                        scores.strided(), Strided<std::int32_t const>(chosen.strided()), routing,
                        load.strided(), balance_scale, sequence_length, targets);
}

/// The share of every sequence in the targets that are not negative; 0 where none counts.
///
/// Shapes:    weights [sequences]; targets [sequences, length]
template <class B>
void sequence_weights(B& be, double* weights, Token const* targets, index_t sequences, index_t length) {
    call<SequenceWeights>(be, weights, targets, sequences, length);
}

/// The sequence-wise balance loss: per sequence, sum over experts of load times mean normalised affinity, of the tokens
/// that count, times the weight of the sequence.
///
/// The load of an expert is Experts / (TopK · tokens) times the number of tokens that have it among their TopK best, bias
/// and groups left aside. Where all experts are used alike the sum over the sequences is 1, to be multiplied by alpha.
///
/// Shapes:    scores [sequences * length, Experts]: affinities; loss [sequences, 1], written; load [sequences, Experts],
///            written: what backward needs, the load times weight / tokens; targets [sequences * length]: tokens with
///            a negative one do not count, or null: all do; weights [sequences], or null: 1 / sequences
/// Errors:    ShapeError if scores are not sequences of equal length or load and loss differ in rows
/// Source:    DeepSeek-V3 technical report, eq. 17-20
template <index_t TopK, class B, class X, index_t Experts>
void balance_loss(B& be, std::type_identity_t<Rows<accumulate_t<X>, Experts>> load,
                  std::type_identity_t<Rows<accumulate_t<X>, 1>> loss, Rows<X, Experts> scores,
                  Token const* targets = nullptr, double const* weights = nullptr) {
    expects<ShapeError>(load.rows == loss.rows && load.rows > 0 && scores.rows % load.rows == 0,
                        "balance_loss: ", scores.rows, " rows are not ", load.rows, " sequences");
    call<BalanceLoss>(be, load.strided(), loss.strided(),
                      Strided<std::remove_const_t<X> const>(scores.strided()), targets, weights, TopK);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
