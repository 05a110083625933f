// SPDX-License-Identifier: MIT
// expect: Blocks<Count, Attention, FeedForward>: Count must be positive
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
constexpr int kCount = 2;
#else
constexpr int kCount = 0;
#endif

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<kCount, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>>;
auto const count = ds::param_count<M>;
