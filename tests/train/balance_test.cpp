// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace ds = deepseek;

namespace {

using M = ds::Model<ds::Vocabulary<32>, ds::Blocks<1, ds::MLA<32, 2, 16>, ds::MoE<16, 2, 16>>>;

// Largest over mean expert load, averaged over the last 50 of 300 steps on text whose tokens are far from uniform.
double imbalance(float bias_speed) {
    ds::Cpu cpu{{.threads = 2}};
    ds::Weights<M, float, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    ds::Trainer<M, float, ds::Cpu> trainer{cpu, weights,
                                           {.schedule = {.decay = ds::Decay::constant, .peak = 3e-3, .total = 300},
                                            .balance_alpha = 0,
                                            .bias_speed = bias_speed}};
    ds::RandomKey const key{ds::Seed{2}};
    std::uint64_t next = 0;
    constexpr std::size_t kTokens = 8 * 32;
    std::vector<ds::Token> tokens(kTokens + 1);
    double sum = 0;
    for (int step = 0; step < 300; ++step) {
        for (auto& token : tokens) {
            auto const u = key.uniform(next++);
            token = static_cast<ds::Token>(32 * u * u * u);  // small ids are common
        }
        ds::Batch const batch{{tokens.data(), kTokens}, {tokens.data() + 1, kTokens}, 8, 32};
        trainer.step({&batch, 1});
        if (step >= 250) {
            auto const& load = trainer.expert_load().front();
            auto const mean = std::accumulate(load.begin(), load.end(), 0.0) / static_cast<double>(load.size());
            sum += *std::max_element(load.begin(), load.end()) / mean / 50;
        }
    }
    return sum;
}

}  // namespace

TEST_CASE("Balancing: the router's bias evens out expert load, which is far from even without it") {
    auto const with = imbalance(1e-2F);
    auto const without = imbalance(0);
    MESSAGE("largest / mean expert load after 300 steps: ", with, " with the bias, ", without, " without");
    CHECK(with < 1.3);
    CHECK(without > 2);
}
