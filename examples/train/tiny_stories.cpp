// SPDX-License-Identifier: MIT
#include "../models.hpp"
#include "model.hpp"

namespace deepseek_examples {

template std::unique_ptr<Training> make_training<TinyStories>(ds::TrainOptions const&, int);
template ds::index_t training_bytes<TinyStories>(ds::TrainOptions const&, std::span<ds::Batch const>);

}  // namespace deepseek_examples
