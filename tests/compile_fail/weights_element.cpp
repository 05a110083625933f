// SPDX-License-Identifier: MIT
// expect: Weights<M, T, B>: T must be float, double or bf16
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Element = double;
#else
using Element = int;
#endif
using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<1, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>>;

auto weights(ds::Cpu& cpu) { return ds::Weights<M, Element, ds::Cpu>{cpu}; }
