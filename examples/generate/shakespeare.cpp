// SPDX-License-Identifier: MIT
#include <deepseek/app/generate/model.hpp>

#include "../models.hpp"

namespace ds = deepseek;

template std::unique_ptr<ds::app::LanguageModel> ds::app::load_language_model<deepseek_examples::Shakespeare>(
    std::filesystem::path const&, ds::app::Placement const&, ds::index_t);
