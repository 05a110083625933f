// SPDX-License-Identifier: MIT
// expect: a seed is no plain number: write Seed{1}
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
constexpr ds::Seed kSeed{1};
#else
constexpr int kSeed = 1;
#endif
using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<1, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>>;

void start(ds::Cpu& cpu, ds::Weights<M, float, ds::Cpu>& weights) { ds::initialize(cpu, weights, kSeed); }
