// SPDX-License-Identifier: MIT
// expect: MoE<Experts, …, Routing>: groups must be positive and divide Experts
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
constexpr ds::Routing kRouting{.groups = 4, .groups_kept = 2};
#else
constexpr ds::Routing kRouting{.groups = 5, .groups_kept = 2};
#endif

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<2, ds::MLA<64, 4, 16>, ds::MoE<16, 4, 32, 0, kRouting>>>;
auto const count = ds::param_count<M>;
