// SPDX-License-Identifier: MIT
// expect: SwiGLU<Hidden>: Hidden must be positive
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Feed = ds::SwiGLU<32>;
#else
using Feed = ds::SwiGLU<-32>;
#endif

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<2, ds::MLA<64, 4, 16>, Feed>>;
auto const count = ds::param_count<M>;
