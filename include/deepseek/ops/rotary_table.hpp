// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ROTARY_TABLE_HPP
#define DEEPSEEK_OPS_ROTARY_TABLE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/detail/constexpr_math.hpp>
#include <deepseek/ops/arguments/rope.hpp>

#include <algorithm>
#include <numbers>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// How much YaRN raises the temperature of attention with a stretch `factor`.
constexpr double yarn_mscale(double factor, double mscale) {
    return factor <= 1 ? 1.0 : 0.1 * mscale * deepseek::detail::constant::log(factor) + 1.0;
}

/// Angles per position of a rotary part of width Dim: pair i turns by position * inverse_frequency[i]. Declare it
/// constexpr: it depends on the model's type alone.
///
/// Precision: computed in double, rounded to float. The angle is then a product of two floats: what models were
///            trained with, and at long positions measurably not the exact angle
/// Errors:    Error (at compile time where constexpr) if theta, factor or a length is not positive
/// Source:    Su et al. 2021; YaRN (Peng et al. 2023), section 3.2, as the DeepSeek-V3 model code computes it
template <index_t Dim>
struct RotaryTable {
    static_assert(Dim > 0 && Dim % 2 == 0, "RotaryTable<Dim>: Dim must be even, it is rotated in pairs");

    float inverse_frequency[Dim / 2] = {};
    double attention_factor = 1;  ///< on cosine and sine
    bool interleaved = true;

    constexpr explicit RotaryTable(Rope const& rope) : interleaved(rope.interleaved) {
        namespace constant = deepseek::detail::constant;
        auto const& yarn = rope.yarn;
        expects(rope.theta > 1, "Rope: theta must be above 1, not ", rope.theta);
        expects(yarn.factor > 0 && yarn.original_length > 0 && yarn.beta_fast > 0 && yarn.beta_slow > 0,
                "YaRN: factor, original_length, beta_fast and beta_slow must be positive");
        auto const log_theta = constant::log(rope.theta);

        // The pair that makes `turns` rotations over the original length.
        auto const pair_of = [&](double turns) {
            return Dim * constant::log(yarn.original_length / (2 * std::numbers::pi * turns)) /
                   (2 * log_theta);
        };
        auto low = pair_of(yarn.beta_fast);
        auto high = pair_of(yarn.beta_slow);
        if (yarn.truncate) {
            low = constant::floor(low);
            high = constant::ceil(high);
        }
        low = std::max(low, 0.0);
        high = std::min(high, static_cast<double>(Dim - 1));
        if (low == high) {
            high += 0.001;
        }
        for (index_t i = 0; i < Dim / 2; ++i) {
            auto const plain = constant::exp(-static_cast<double>(2 * i) / Dim * log_theta);
            auto const ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
            auto const stretched = yarn.factor == 1 ? plain : plain * ((1 - ramp) + ramp / yarn.factor);
            inverse_frequency[i] = static_cast<float>(stretched);
        }

        if (yarn.attention_factor != 0) {
            attention_factor = yarn.attention_factor;
        } else if (yarn.mscale != 0 && yarn.mscale_all_dim != 0) {
            attention_factor =
                yarn_mscale(yarn.factor, yarn.mscale) / yarn_mscale(yarn.factor, yarn.mscale_all_dim);
        } else {
            attention_factor = yarn_mscale(yarn.factor, 1);
        }
    }
};

/// Factor on attention scores: qk_dim^(-1/2), times YaRN's temperature squared.
///
/// Source:    DeepSeek-V3 model code: mscale_all_dim decides, the attention factor of RotaryTable comes on top
constexpr double softmax_scale(index_t qk_dim, Rope const& rope) {
    expects(qk_dim > 0, "softmax_scale: the width of a query is ", qk_dim);
    auto const mscale = yarn_mscale(rope.yarn.factor, rope.yarn.mscale_all_dim);
    return mscale * mscale / deepseek::detail::constant::sqrt(static_cast<double>(qk_dim));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
