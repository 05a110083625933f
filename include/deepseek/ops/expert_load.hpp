// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_EXPERT_LOAD_HPP
#define DEEPSEEK_OPS_EXPERT_LOAD_HPP

#include <deepseek/core/segments.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/expert_load.hpp>

// Balancing without an auxiliary loss, for all routers of a model in one launch each. `routers` are the segments of their
// biases in a set.

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Adds to `loads` what was counted in the place of the biases' gradients (see count_t), and sets it to zero there: from
/// then on the set of gradients holds nothing but numbers that may be added and squared.
///
/// Shapes:    gradients: the set; loads [routers.elements], the experts of one router after those of another
/// Precision: a double counts exactly up to 2^53
template <class B, class T>
void collect_loads(B& be, double* loads, T* gradients, Segments const& routers) {
    if (routers.count > 0) {
        call<CollectLoads>(be, loads, gradients, routers);
    }
}

/// One step of balancing: the bias of every expert above its router's mean load falls by `speed`, that of every one below
/// rises by it; an expert at the mean keeps its own. With `zero_mean` the mean of a router's changes is taken from each,
/// so that its biases do not drift together.
///
/// Shapes:    weights: the set; loads [routers.elements]: (token, choice) pairs over one whole optimizer step
/// Source:    DeepSeek-V3 technical report, 2.1.2; torchtitan (zero_mean)
template <class B, class T>
void update_biases(B& be, T* weights, double const* loads, Segments const& routers, double speed,
                   bool zero_mean = false) {
    if (routers.count > 0) {
        call<UpdateBiases>(be, weights, loads, routers, speed, zero_mean);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
