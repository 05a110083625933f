// SPDX-License-Identifier: MIT
// expect: Weights<M, T, B>: B must be a backend such as Cpu; deepseek/backend/concept.hpp lists what one has
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

namespace ds = deepseek;

struct Machine {};
#ifdef DEEPSEEK_POSITIVE_CONTROL
using B = ds::Cpu;
#else
using B = Machine;
#endif
using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<1, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>>;

auto const size = sizeof(ds::Weights<M, float, B>);
