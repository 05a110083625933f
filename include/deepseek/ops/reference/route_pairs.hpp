// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_ROUTE_PAIRS_HPP
#define DEEPSEEK_OPS_REFERENCE_ROUTE_PAIRS_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/routing.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/dispatch.hpp>
#include <deepseek/ops/reference/route.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops {

// Defined by its parts: a backend that has these of its own computes it with them until it has the whole.
template <class B, class T>
void reference(RoutePairs, B& be, std::int32_t* offsets, std::int32_t* pair_at, std::int32_t* row_of,
               Strided<T> logits, accumulate_t<T> const* bias, Strided<std::int32_t> chosen, Strided<T> gates,
               Routing const& routing) {
    if (logits.rows > 0) {
        call<Route>(be, logits, bias, chosen, gates, routing);
    }
    call<DispatchPairs>(be, offsets, pair_at, row_of, Strided<std::int32_t const>(chosen), logits.cols);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
