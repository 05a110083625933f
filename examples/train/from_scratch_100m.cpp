// SPDX-License-Identifier: MIT
#include "../models.hpp"
#include "model.hpp"

namespace deepseek_examples {

template std::unique_ptr<Training> make_training<ds::FromScratch100M>(ds::TrainOptions const&, int);

}  // namespace deepseek_examples
