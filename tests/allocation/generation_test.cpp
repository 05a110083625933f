// SPDX-License-Identifier: MIT
// Once a token has been decoded and one has been drawn, generation takes no memory from anywhere.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include "allocation/counting.hpp"
#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <vector>

namespace ds = deepseek;
using deepseek_tests::allocations;

namespace {

constexpr ds::index_t kContext = 1200;  // attention cuts its cache into 1 to 5 parts on the way there
using Attention = ds::MLA<64, 20, 24, 32, 8, 16, 16>;
using M = ds::Model<ds::Vocabulary<500>, ds::Blocks<1, Attention, ds::SwiGLU<160>>,
                    ds::Blocks<1, Attention, ds::MoE<8, 2, 48, 48>>, ds::MTP<1>,
                    ds::Options<ds::ModelOptions{.init_deviation = 0.3, .context = kContext}>>;

template <class W>
void check(int threads, ds::Sampling const& how, ds::index_t max_tokens = kContext) {
    CAPTURE(threads);
    ds::Cpu cpu{{.threads = threads}};
    ds::Weights<M, W, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    ds::Session<M, W, ds::Cpu> session{cpu, weights, {.max_tokens = max_tokens}};
    ds::Sampler sampler{how};
    std::vector<ds::Token> history{7};
    history.reserve(kContext + 1);
    auto logits = session.prefill(history);
    std::int64_t taken = 0;
    while (!session.full()) {
        auto const before = allocations();
        auto const token = sampler(std::span<ds::accumulate_t<W> const>(logits), history);
        logits = session.decode(token);
        if (session.position() > 2) {
            taken += allocations() - before;
        }
        history.push_back(token);
    }
    CHECK(taken == 0);
}

}  // namespace

TEST_CASE_TEMPLATE("generation: a token allocates nothing from the prompt to the end of the context", W,
                   float, ds::bf16) {
    check<W>(1, {.repeat_penalty = 1.3});
    check<W>(2, {.repeat_penalty = 1.3});
}

TEST_CASE("generation: a sampler whose penalty looks back on everything allocates nothing") {
    check<float>(1, {.temperature = 1.5, .top_k = 0, .repeat_penalty = 1.1, .repeat_last = -1}, 300);
    check<float>(2, {.temperature = 0, .repeat_penalty = 1.1, .repeat_last = -1}, 300);
}
