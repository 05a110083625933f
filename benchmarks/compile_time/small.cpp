// SPDX-License-Identifier: MIT
#include "program.hpp"

using Small = ds::Model<ds::Vocabulary<8192>, ds::Blocks<1, Attention, ds::SwiGLU<704>>,
                        ds::Blocks<5, Attention, Sparse>, ds::MTP<1>>;

int main() { return program<Small>(); }
