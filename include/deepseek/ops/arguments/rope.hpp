// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ARGUMENTS_ROPE_HPP
#define DEEPSEEK_OPS_ARGUMENTS_ROPE_HPP

#include <deepseek/config.hpp>

namespace deepseek::inline DEEPSEEK_ABI {

/// Stretches rotary embeddings beyond the length a model was trained on. Scalars only: part of a model's type.
///
/// Source:    YaRN (Peng et al. 2023); names as in config.json's rope_scaling
struct YaRN {
    double factor = 1;              ///< how many times longer; 1 changes nothing
    double original_length = 4096;  ///< tokens; original_max_position_embeddings
    double beta_fast = 32;          ///< frequencies with more rotations than this over original_length stay
    double beta_slow = 1;           ///< those with fewer are divided by factor; between, a ramp
    double mscale = 1;              ///< cosine and sine grow with this times log(factor): see RotaryTable
    double mscale_all_dim = 0;      ///< where not 0, scores grow by its square: see softmax_scale
    double attention_factor = 0;    ///< on cosine and sine; 0 derives it from mscale and mscale_all_dim
    bool truncate = true;           ///< the ramp starts and ends at whole frequencies

    friend constexpr bool operator==(YaRN const&, YaRN const&) = default;
};

/// Rotary position embedding. Scalars only: part of a model's type.
struct Rope {
    double theta = 10'000;    ///< base of the frequencies (config.json: rope_theta)
    bool interleaved = true;  ///< rotates pairs (2i, 2i + 1); otherwise (i, i + Dim / 2)
    YaRN yarn{};

    friend constexpr bool operator==(Rope const&, Rope const&) = default;
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
