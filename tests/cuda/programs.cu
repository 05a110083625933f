// SPDX-License-Identifier: MIT
// What the programs for a model of one's own need of nvcc.
#include <deepseek/app/generate/cuda.cuh>
#include <deepseek/app/train/cuda.cuh>

#include "../../examples/own_model.hpp"

#include <filesystem>
#include <memory>

namespace ds = deepseek;

template std::unique_ptr<ds::app::Training> ds::app::make_training_on_cuda<OwnModel>(
    ds::TrainOptions const&, ds::app::Computing const&);
template std::unique_ptr<ds::app::LanguageModel> ds::app::load_language_model_on_cuda<OwnModel>(
    std::filesystem::path const&, ds::index_t);
