// SPDX-License-Identifier: MIT
#include "../models.hpp"
#include "model.hpp"

namespace deepseek_examples {

template std::unique_ptr<Training> make_training<Shakespeare>(ds::TrainOptions const&, int);
template ds::index_t training_bytes<Shakespeare>(ds::TrainOptions const&, std::span<ds::Batch const>);

}  // namespace deepseek_examples
