// SPDX-License-Identifier: MIT
// expect: Blocks<Count, Attention, FeedForward>: first the attention, a layer with a cache such as MLA<…>, then the feed-forward network
#include <deepseek/model.hpp>

namespace ds = deepseek;

using Attention = ds::MLA<64, 4, 16>;
using FeedForward = ds::SwiGLU<32>;
#ifdef DEEPSEEK_POSITIVE_CONTROL
using Both = ds::Blocks<1, Attention, FeedForward>;
#else
using Both = ds::Blocks<1, FeedForward, Attention>;
#endif
auto const count = ds::param_count<ds::Model<ds::Vocabulary<100>, Both>>;
