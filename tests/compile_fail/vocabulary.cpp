// SPDX-License-Identifier: MIT
// expect: Vocabulary<Size>: Size must be positive
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Words = ds::Vocabulary<100>;
#else
using Words = ds::Vocabulary<0>;
#endif

using M = ds::Model<Words, ds::Blocks<2, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>>;
auto const count = ds::param_count<M>;
