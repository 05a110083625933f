// SPDX-License-Identifier: MIT
// `train` for a model of one's own. `own_train --help` lists its flags.
#include <deepseek/app/train.hpp>

#include "own_model.hpp"

int main(int argc, char** argv) {
    return deepseek::app::train<OwnModel>(argc, argv, {.recipe = {{"steps", "200"}, {"lr", "3e-3"}}});
}
