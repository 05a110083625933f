// SPDX-License-Identifier: MIT
#include <deepseek/app/train/model.hpp>

#include "../models.hpp"

namespace ds = deepseek;

template std::unique_ptr<ds::app::Training> ds::app::make_training<deepseek_examples::Quickstart>(
    ds::TrainOptions const&, ds::app::Computing const&);
