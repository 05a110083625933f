// SPDX-License-Identifier: MIT
// expect: Trainer: weights must be float or double to be trained; Trainer<M, bf16, B> computes in bf16 with weights of float
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Element = float;
#else
using Element = ds::bf16;
#endif
using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<1, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>>;

double train(ds::Cpu& cpu, ds::Weights<M, Element, ds::Cpu>& weights, ds::Batch const& batch) {
    ds::Trainer trainer{cpu, weights, {.schedule = {.peak = 1e-3}}};
    return trainer.step({&batch, 1}).total_loss + trainer.evaluate({&batch, 1}).main;
}
