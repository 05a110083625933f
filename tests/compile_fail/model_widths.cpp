// SPDX-License-Identifier: MIT
// expect: Model<Vocabulary, Parts…>: all Blocks must have the same width
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Second = ds::MLA<64, 8, 16>;
#else
using Second = ds::MLA<128, 8, 16>;
#endif

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<1, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>,
                    ds::Blocks<1, Second, ds::SwiGLU<32>>>;
auto const count = ds::param_count<M>;
