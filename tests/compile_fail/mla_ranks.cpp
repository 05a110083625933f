// SPDX-License-Identifier: MIT
// expect: MLA<Dim, Heads, KVRank, QRank>: KVRank and QRank must not exceed Dim; they are widths of compressed latents
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Attention = ds::MLA<64, 4, 16>;
#else
using Attention = ds::MLA<64, 4, 128>;  // Heads and KVRank swapped, say
#endif

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<2, Attention, ds::SwiGLU<32>>>;
auto const count = ds::param_count<M>;
