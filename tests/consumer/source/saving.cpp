// SPDX-License-Identifier: MIT
#include <deepseek/format/checkpoint.hpp>

#include "model.hpp"

#include <algorithm>
#include <filesystem>

bool survives_saving(ds::Cpu& cpu, Weights const& weights, std::filesystem::path const& directory) {
    ds::format::save_model(cpu, directory, weights);
    Weights loaded{cpu};
    ds::format::load_model(cpu, directory, loaded);
    return std::equal(weights.data(), weights.data() + weights.bytes(), loaded.data());
}
