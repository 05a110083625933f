// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_MODEL_FACTS_HPP
#define DEEPSEEK_APP_MODEL_FACTS_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/infer/session.hpp>
#include <deepseek/model/flops.hpp>
#include <deepseek/model/tape.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// What the parts of a program that do not know a model's type need to know of it: with weights of float, and activations
/// of T.
struct ModelFacts {
    index_t parameters = 0;
    index_t active_parameters = 0;  ///< that one token passes through
    index_t parameter_bytes = 0;
    index_t rounded_parameter_bytes = 0;  ///< of the copy that is computed with, where T is no float
    index_t layers = 0;
    index_t width = 0;
    index_t mtp_depth = 0;
    index_t vocabulary = 0;
    index_t context = 0;
    index_t cache_bytes_per_token = 0;
    index_t activation_bytes_per_token = 0;  ///< that training keeps for the backward pass
    index_t stream_bytes_per_token = 0;      ///< the same where blocks are recomputed
    double (*train_flops_per_token)(index_t length) = nullptr;
};

template <class M, class T = float>
ModelFacts facts_of() {
    return {.parameters = param_count<M>,
            .active_parameters = active_param_count<M>,
            .parameter_bytes = param_bytes<M, float>,
            .rounded_parameter_bytes = std::is_same_v<T, float> ? 0 : param_bytes<M, T>,
            .layers = M::layers,
            .width = M::width,
            .mtp_depth = M::mtp_depth,
            .vocabulary = M::vocabulary,
            .context = M::options.context,
            .cache_bytes_per_token = cache_bytes_per_token<M, float>,
            .activation_bytes_per_token = saved_bytes_per_token<M, T>,
            .stream_bytes_per_token = saved_bytes_per_token<M, T, true>,
            .train_flops_per_token = &train_flops_per_token<M>};
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
