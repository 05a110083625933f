// SPDX-License-Identifier: MIT
// expect: generate: a sampler is called with (std::span<T const> logits, std::span<Token const> history), T being float, or double for weights of double, and returns the next Token
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
ds::Token pick(std::span<float const>, std::span<ds::Token const>) { return 0; }
#else
ds::Token pick(std::vector<float> const&) { return 0; }
#endif
using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<1, ds::MLA<64, 4, 16>, ds::SwiGLU<32>>>;

auto tell(ds::Session<M, float, ds::Cpu>& session, std::vector<ds::Token>& text) {
    return ds::generate(session, pick, text, {}, [](ds::Token) {});
}
