// SPDX-License-Identifier: MIT
#include <deepseek/io/checkpoint.hpp>

#include "model.hpp"

#include <algorithm>
#include <filesystem>

bool survives_saving(ds::Cpu& cpu, Weights const& weights, std::filesystem::path const& directory) {
    ds::io::save_model(cpu, directory, weights);
    Weights loaded{cpu};
    ds::io::load_model(cpu, directory, loaded);
    return std::equal(weights.data(), weights.data() + weights.bytes(), loaded.data());
}
