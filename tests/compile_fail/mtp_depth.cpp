// SPDX-License-Identifier: MIT
// expect: MTP<Depth>: Depth must not be negative; 0 means no multi-token prediction
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Ahead = ds::MTP<0>;
#else
using Ahead = ds::MTP<-1>;
#endif

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<2, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>, Ahead>;
auto const count = ds::param_count<M>;
