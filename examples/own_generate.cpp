// SPDX-License-Identifier: MIT
// `generate` for a model of one's own. `own_generate --help` lists its flags.
#include <deepseek/app/generate.hpp>

#include "own_model.hpp"

int main(int argc, char** argv) { return deepseek::app::generate<OwnModel>(argc, argv); }
