// SPDX-License-Identifier: MIT
#include "program.hpp"

using Large = ds::Model<ds::Vocabulary<8192>, ds::Blocks<3, Attention, ds::SwiGLU<704>>,
                        ds::Blocks<58, Attention, Sparse>, ds::MTP<1>>;

int main() { return program<Large>(); }
