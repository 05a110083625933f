// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_MODEL_PRESETS_HPP
#define DEEPSEEK_MODEL_PRESETS_HPP

#include <deepseek/core/model_options.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/layers/mla.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/layers/mtp.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/model/blocks.hpp>
#include <deepseek/model/model.hpp>
#include <deepseek/ops/arguments/routing.hpp>
#include <deepseek/ops/rope.hpp>

// Published models, as types. Counts are those of the released files: parameters without the routers' biases, MTP
// modules without the embedding and head they share.

namespace deepseek::inline DEEPSEEK_ABI {

namespace presets {

// Parts of the models below, for variants of them: other depths or vocabularies.

/// Of DeepSeek-V3.
using V3Attention = MLA<7168, 128, 512, 1536, 64, 128, 128,
                        MLAOptions{.rope = {.yarn = {.factor = 40, .mscale = 1, .mscale_all_dim = 1}}}>;
inline constexpr Routing kV3Routing{.groups = 8, .groups_kept = 4, .scale = 2.5};

/// Of DeepSeek-V2-Lite.
using V2LiteAttention =
    MLA<2048, 16, 512, 0, 64, 128, 128,
        MLAOptions{.rope = {.yarn = {.factor = 40, .mscale = 0.707, .mscale_all_dim = 0.707}}}>;
inline constexpr Routing kV2LiteRouting{.scoring = Scoring::softmax, .normalize = false, .bias = false};

/// Of Moonlight-16B-A3B.
using MoonlightAttention = MLA<2048, 16, 512, 0, 64, 128, 128, MLAOptions{.rope = {.theta = 50000}}>;
inline constexpr Routing kMoonlightRouting{.scale = 2.446};

}  // namespace presets

/// DeepSeek-V3 and R1: 671 billion parameters, 37.6 active, and one MTP module of 11.6 billion.
using V3 = Model<Vocabulary<129280>, Blocks<3, presets::V3Attention, SwiGLU<18432>>,
                 Blocks<58, presets::V3Attention, MoE<256, 8, 2048, 2048, presets::kV3Routing>>, MTP<1>,
                 Options<ModelOptions{.context = 163840}>>;
static_assert(param_count<V3> == 671'026'404'352 + 11'610'067'968);
static_assert(active_param_count<V3> == 37'552'282'624);

/// DeepSeek-V2-Lite: 15.7 billion parameters, 2.7 active, softmax routing.
using V2Lite =
    Model<Vocabulary<102400>, Blocks<1, presets::V2LiteAttention, SwiGLU<10944>>,
          Blocks<26, presets::V2LiteAttention, MoE<64, 6, 1408, 2 * 1408, presets::kV2LiteRouting>>,
          Options<ModelOptions{.context = 163840}>>;
static_assert(param_count<V2Lite> == 15'706'484'224);
static_assert(active_param_count<V2Lite> == 2'661'150'208);

/// Moonlight-16B-A3B: 16 billion parameters, 2.9 active.
using Moonlight16B =
    Model<Vocabulary<163840>, Blocks<1, presets::MoonlightAttention, SwiGLU<11264>>,
          Blocks<26, presets::MoonlightAttention, MoE<64, 6, 1408, 2 * 1408, presets::kMoonlightRouting>>,
          Options<ModelOptions{.norm_epsilon = 1e-5, .context = 8192}>>;
static_assert(param_count<Moonlight16B> == 15'960'108'544);
static_assert(active_param_count<Moonlight16B> == 2'914'774'528);

/// 103.6 million parameters in the published mathematics: a size that trains from scratch on one machine. The shared
/// expert is twice as wide as a routed one, as files of Hugging Face's format need it: a multiple.
using FromScratch100M = Model<Vocabulary<50257>, Blocks<8, MLA<512, 8, 128, 192>, MoE<8, 2, 512, 2 * 512>>,
                              MTP<1>, Options<ModelOptions{.tied_head = true, .context = 1024}>>;
static_assert(param_count<FromScratch100M> == 103'573'824);
static_assert(active_param_count<FromScratch100M> == 56'708'608);

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
