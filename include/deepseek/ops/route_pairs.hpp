// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ROUTE_PAIRS_HPP
#define DEEPSEEK_OPS_ROUTE_PAIRS_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/routing.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/dispatch.hpp>
#include <deepseek/ops/reference/route_pairs.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Chooses TopK experts per token and sorts the pairs by expert: route, then dispatch. A composite operation, for backends
/// that count an expert's pairs while they choose.
///
/// Shapes:    as of route and dispatch; the memory of `plan` is the caller's
/// Precision: as route
/// Errors:    ShapeError if the row counts differ
template <class B, class T, index_t Experts, index_t TopK>
void route_pairs(B& be, Dispatch plan, Rows<T, Experts> logits, accumulate_t<T> const* bias,
                 Rows<std::int32_t, TopK> chosen, Rows<T, TopK> gates, Routing const& routing) {
    expects<ShapeError>(logits.rows == chosen.rows && logits.rows == gates.rows, "route_pairs: logits have ",
                        logits.rows, " rows, chosen ", chosen.rows, ", gates ", gates.rows);
    call<RoutePairs>(be, plan.offsets, plan.pair_at, plan.row_of, logits.strided(), bias, chosen.strided(),
                     gates.strided(), routing);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
