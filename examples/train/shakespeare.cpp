// SPDX-License-Identifier: MIT
#include "../models.hpp"
#include "model.hpp"

namespace deepseek_examples {

template std::unique_ptr<Training> make_training<Shakespeare>(ds::TrainOptions const&, int);

}  // namespace deepseek_examples
