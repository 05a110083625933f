// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_MODEL_OPTIONS_HPP
#define DEEPSEEK_CORE_MODEL_OPTIONS_HPP

#include <deepseek/core/index.hpp>

namespace deepseek::inline DEEPSEEK_ABI {

/// What belongs to a model as a whole. Scalars only: part of its type.
struct ModelOptions {
    bool tied_head = false;        ///< the output head is the embedding table
    double norm_epsilon = 1e-6;    ///< added to the mean square in all norms of the residual stream
    double init_deviation = 0.02;  ///< of normally initialised weights; the V3 report: 0.006
    index_t context = 4096;        ///< tokens the model is meant for (config.json: max_position_embeddings)
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
