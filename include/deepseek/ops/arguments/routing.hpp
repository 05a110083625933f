// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ARGUMENTS_ROUTING_HPP
#define DEEPSEEK_OPS_ARGUMENTS_ROUTING_HPP

#include <deepseek/config.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI {

/// How a router turns its logits into affinities.
enum class Scoring : std::uint8_t {
    sigmoid,  ///< DeepSeek-V3: each expert on its own
    softmax,  ///< DeepSeek-V2: experts compete
};

/// How a mixture of experts chooses and weights them. Scalars only: a template argument, also of kernels.
///
/// Source:    DeepSeek-V3 technical report, 2.1.2; V2 model code for softmax
struct Routing {
    Scoring scoring = Scoring::sigmoid;
    int groups = 1;         ///< experts are split into this many equal groups …
    int groups_kept = 1;    ///< … and a token may only use experts of the best so many
    bool normalize = true;  ///< divide the chosen gates by their sum
    double scale = 1;       ///< factor on the routed experts' output; softmax: only where not normalised
    bool bias = true;       ///< a balancing bias takes part in the choice, not in the gates
    /// Experts of groups not kept compete with a score of 0 instead of being out of the question. Early Hugging Face
    /// code did that, by mistake: it matters where scores are negative, which the bias can make them.
    bool zero_mask = false;

    static constexpr double kGateEpsilon = 1e-20;  ///< of the normaliser, as in the published code

    /// What the affinities of the chosen are multiplied with to give gates, from their sum.
    template <class T>
    constexpr DEEPSEEK_HD T gate_factor(T sum) const {
        if (!normalize) {
            return static_cast<T>(scale);
        }
        auto const inverse = 1 / (sum + static_cast<T>(kGateEpsilon));
        return scoring == Scoring::softmax ? inverse : static_cast<T>(scale) * inverse;
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
