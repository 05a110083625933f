// SPDX-License-Identifier: MIT
// expect: MoE<Experts, TopK, Hidden, SharedHidden>: Experts, TopK and Hidden must be positive
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Feed = ds::MoE<16, 4, 32>;
#else
using Feed = ds::MoE<16, 4, 0>;
#endif

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<2, ds::MLA<64, 4, 16>, Feed>, ds::MTP<1>>;
auto const count = ds::param_count<M>;
