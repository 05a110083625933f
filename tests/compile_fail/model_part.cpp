// SPDX-License-Identifier: MIT
// expect: Model<Vocabulary, Parts…>: every part must be Blocks<…>, MTP<Depth> or Options<…>
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<1, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>>;
#else
using M = ds::Model<ds::Vocabulary<100>, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>;
#endif
auto const count = ds::param_count<M>;
