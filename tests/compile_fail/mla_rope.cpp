// SPDX-License-Identifier: MIT
// expect: MLA<Dim, Heads, KVRank, QRank, RopeDim>: RopeDim must be even, it is rotated in pairs
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Attention = ds::MLA<64, 4, 16, 0, 8>;
#else
using Attention = ds::MLA<64, 4, 16, 0, 7>;
#endif

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<2, Attention, ds::SwiGLU<32>>>;
auto const count = ds::param_count<M>;
