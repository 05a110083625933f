// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_SUPPORT_MODEL_FACTS_HPP
#define DEEPSEEK_EXAMPLES_SUPPORT_MODEL_FACTS_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/infer/session.hpp>
#include <deepseek/model/flops.hpp>
#include <deepseek/model/tape.hpp>

namespace deepseek_examples {

/// What the parts of a program that do not know a model's type need to know of it, for elements of float.
struct ModelFacts {
    deepseek::index_t parameters = 0;
    deepseek::index_t active_parameters = 0;  ///< that one token passes through
    deepseek::index_t parameter_bytes = 0;
    deepseek::index_t layers = 0;
    deepseek::index_t width = 0;
    deepseek::index_t mtp_depth = 0;
    deepseek::index_t vocabulary = 0;
    deepseek::index_t context = 0;
    deepseek::index_t cache_bytes_per_token = 0;
    deepseek::index_t activation_bytes_per_token = 0;  ///< that training keeps for the backward pass
    deepseek::index_t stream_bytes_per_token = 0;      ///< the same where blocks are recomputed
    double (*train_flops_per_token)(deepseek::index_t length) = nullptr;
};

template <class M>
ModelFacts facts_of() {
    return {.parameters = deepseek::param_count<M>,
            .active_parameters = deepseek::active_param_count<M>,
            .parameter_bytes = deepseek::param_bytes<M, float>,
            .layers = M::layers,
            .width = M::width,
            .mtp_depth = M::mtp_depth,
            .vocabulary = M::vocabulary,
            .context = M::options.context,
            .cache_bytes_per_token = deepseek::cache_bytes_per_token<M, float>,
            .activation_bytes_per_token = deepseek::saved_bytes_per_token<M, float>,
            .stream_bytes_per_token = deepseek::saved_bytes_per_token<M, float, true>,
            .train_flops_per_token = &deepseek::train_flops_per_token<M>};
}

}  // namespace deepseek_examples

#endif
