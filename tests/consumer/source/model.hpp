// SPDX-License-Identifier: MIT
#ifndef CONSUMER_MODEL_HPP
#define CONSUMER_MODEL_HPP

#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>
#include <deepseek/models/tiny.hpp>

#include <filesystem>
#include <type_traits>

namespace ds = deepseek;

using Attention = ds::MLA<32, 2, 8, 16>;
using Tiny = ds::Model<ds::Vocabulary<256>, ds::Blocks<1, Attention, ds::MoE<4, 2, 32, 32>>, ds::MTP<1>>;
static_assert(std::is_same_v<Tiny, ds::models::tiny>);  // made of config.json
using Weights = ds::Weights<Tiny, float, ds::Cpu>;

/// In the program's other translation unit.
bool survives_saving(ds::Cpu& cpu, Weights const& weights, std::filesystem::path const& directory);

#endif
