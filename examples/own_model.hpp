// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_OWN_MODEL_HPP
#define DEEPSEEK_EXAMPLES_OWN_MODEL_HPP

#include <deepseek/model.hpp>

// A model of one's own; own_train.cpp and own_generate.cpp are all that it takes to train it and to write with it.
using OwnModel = deepseek::Model<deepseek::Vocabulary<257>,
                                 deepseek::Blocks<2, deepseek::MLA<32, 2, 16>, deepseek::MoE<4, 2, 32, 32>>,
                                 deepseek::Options<deepseek::ModelOptions{.context = 64}>>;

#endif
