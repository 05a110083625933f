// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_GOLDEN_GOLDEN_MODELS_HPP
#define DEEPSEEK_TESTS_GOLDEN_GOLDEN_MODELS_HPP

#include <deepseek/core/model_options.hpp>
#include <deepseek/layers/mla.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/layers/mtp.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/model/model.hpp>
#include <deepseek/ops/arguments/rope.hpp>
#include <deepseek/ops/arguments/routing.hpp>

// The models of configurations.py as types.

namespace deepseek_tests {

using deepseek::index_t;

inline constexpr deepseek::Routing kRoutingT1{.groups = 4, .groups_kept = 2, .scale = 2.5};
inline constexpr deepseek::Routing kRoutingT2{.scale = 2.5};
inline constexpr deepseek::Routing kRoutingT4{
    .scoring = deepseek::Scoring::softmax, .normalize = false, .bias = false};
inline constexpr deepseek::Routing kRoutingT5{.scoring = deepseek::Scoring::softmax,
                                              .groups = 4,
                                              .groups_kept = 2,
                                              .normalize = false,
                                              .scale = 16,
                                              .bias = false};

constexpr deepseek::MLAOptions yarn(double mscale) {
    return {
        .rope = {.yarn = {.factor = 4, .original_length = 64, .mscale = mscale, .mscale_all_dim = mscale}}};
}

template <index_t QRank, deepseek::MLAOptions Options>
using TinyAttention = deepseek::MLA<64, 4, 32, QRank, 8, 16, 12, Options>;

using AttentionT1 = TinyAttention<24, deepseek::MLAOptions{}>;
using AttentionT1Biased = TinyAttention<24, deepseek::MLAOptions{.bias = true}>;
using AttentionT1HalfSplit = TinyAttention<24, deepseek::MLAOptions{.rope = {.interleaved = false}}>;
using AttentionT2 = TinyAttention<0, deepseek::MLAOptions{.rope = {.theta = 50'000}}>;
using AttentionT3 = TinyAttention<24, yarn(1.0)>;
using AttentionT4 = TinyAttention<0, yarn(0.707)>;

using ExpertsT1 = deepseek::MoE<16, 4, 32, 32, kRoutingT1>;
using ExpertsT2 = deepseek::MoE<16, 4, 32, 64, kRoutingT2>;  // two shared experts side by side
using ExpertsT4 = deepseek::MoE<16, 4, 32, 32, kRoutingT4>;
using ExpertsT5 = deepseek::MoE<16, 4, 32, 32, kRoutingT5>;

template <class Attention, class Experts, class... Parts>
using TinyModel =
    deepseek::Model<deepseek::Vocabulary<128>, deepseek::Blocks<1, Attention, deepseek::SwiGLU<96>>,
                    deepseek::Blocks<2, Attention, Experts>, Parts...>;
using TinyOptions = deepseek::Options<deepseek::ModelOptions{.context = 256}>;

using T1 = TinyModel<AttentionT1, ExpertsT1, TinyOptions>;
using T2 = TinyModel<AttentionT2, ExpertsT2,
                     deepseek::Options<deepseek::ModelOptions{.norm_epsilon = 1e-5, .context = 256}>>;
using T3 = TinyModel<AttentionT3, ExpertsT1, TinyOptions>;
using T4 = TinyModel<AttentionT4, ExpertsT4, TinyOptions>;
using T5 = TinyModel<AttentionT4, ExpertsT5, TinyOptions>;

/// T1 with MTP modules.
template <int Depth>
using T1Deep = TinyModel<AttentionT1, ExpertsT1, deepseek::MTP<Depth>, TinyOptions>;
using T1Tied = TinyModel<AttentionT1, ExpertsT1, deepseek::MTP<1>,
                         deepseek::Options<deepseek::ModelOptions{.tied_head = true, .context = 256}>>;
using T1HalfSplit = TinyModel<AttentionT1HalfSplit, ExpertsT1, TinyOptions>;

}  // namespace deepseek_tests

#endif
