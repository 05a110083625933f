// SPDX-License-Identifier: MIT
// expect: a seed is no plain number: write Seed{1}
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
constexpr ds::Seed kSeed{1};
#else
constexpr int kSeed = 1;
#endif

auto sampler() { return ds::Sampler{{.seed = kSeed}}; }
