// SPDX-License-Identifier: MIT
// expect: MoE<Experts, …, Routing>: sigmoid routing ranks a group by its two best experts, so a group needs at least two
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
constexpr ds::Routing kRouting{.groups = 8, .groups_kept = 4};
#else
constexpr ds::Routing kRouting{.groups = 16, .groups_kept = 4};
#endif

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<2, ds::MLA<64, 4, 16>, ds::MoE<16, 4, 32, 0, kRouting>>>;
auto const count = ds::param_count<M>;
