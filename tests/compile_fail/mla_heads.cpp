// SPDX-License-Identifier: MIT
// expect: MLA<Dim, Heads, KVRank, QRank>: Dim, Heads and KVRank must be positive; QRank 0 means an uncompressed query
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Attention = ds::MLA<512, 8, 128, 0>;
#else
using Attention = ds::MLA<512, 0, 128, 0>;
#endif

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<2, Attention, ds::SwiGLU<32>>, ds::MTP<1>>;
auto const count = ds::param_count<M>;
