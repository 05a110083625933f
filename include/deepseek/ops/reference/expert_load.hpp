// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_EXPERT_LOAD_HPP
#define DEEPSEEK_OPS_REFERENCE_EXPERT_LOAD_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/segments.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call is one router.
template <class T>
struct CollectLoads {
    double* loads;
    T* gradients;
    Segment const* routers;

    DEEPSEEK_HD void operator()(index_t i) const {
        auto const router = routers[i];
        for (index_t e = 0; e < router.size; ++e) {
            auto& count = gradients[router.begin + e];
            loads[router.elements_before + e] += static_cast<double>(count_in(count));
            count = as_value<T>(0);
        }
    }
};

/// One call is one router.
template <class T>
struct UpdateBiases {
    T* weights;
    double const* loads;
    Segment const* routers;
    double speed;
    bool zero_mean;

    DEEPSEEK_HD void operator()(index_t i) const {
        auto const router = routers[i];
        auto const* const load = loads + router.elements_before;
        double total = 0;
        for (index_t e = 0; e < router.size; ++e) {
            total += load[e];
        }
        // 1 below the mean, -1 above it; all numbers are whole, so that these comparisons are exact
        auto const direction = [=](double count) {
            auto const times_experts = count * static_cast<double>(router.size);
            return times_experts < total ? 1.0 : times_experts > total ? -1.0 : 0.0;
        };
        double drift = 0;  // directions that are not balanced by others
        if (zero_mean) {
            for (index_t e = 0; e < router.size; ++e) {
                drift += direction(load[e]);
            }
            drift /= static_cast<double>(router.size);
        }
        for (index_t e = 0; e < router.size; ++e) {
            weights[router.begin + e] += static_cast<T>(speed * (direction(load[e]) - drift));
        }
    }
};

}  // namespace loop

template <class B, class T>
void reference(CollectLoads, B& be, double* loads, T* gradients, Segments const& routers) {
    be.for_each(routers.count, 2 * routers.elements / routers.count,
                loop::CollectLoads<T>{loads, gradients, routers.data});
}

template <class B, class T>
void reference(UpdateBiases, B& be, T* weights, double const* loads, Segments const& routers, double speed,
               bool zero_mean) {
    be.for_each(routers.count, 4 * routers.elements / routers.count,
                loop::UpdateBiases<T>{weights, loads, routers.data, speed, zero_mean});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
