// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BENCHMARKS_COMPILE_TIME_PROGRAM_HPP
#define DEEPSEEK_BENCHMARKS_COMPILE_TIME_PROGRAM_HPP

#include <deepseek/backend/cpu.hpp>
#include <deepseek/format/save.hpp>
#include <deepseek/model.hpp>

#include <array>
#include <cstdio>
#include <vector>

// What a user's program does with a model: trains, saves, generates.

namespace ds = deepseek;

using Attention = ds::MLA<256, 8, 64, 96>;
using Sparse = ds::MoE<16, 4, 128, 128>;

template <class M>
int program() {
    std::array<ds::Token, 65> text{};
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] = static_cast<ds::Token>(i * i % 251);
    }
    std::span<ds::Token const> const tokens(text);
    ds::Batch const batch{
        .tokens = tokens.first<64>(), .targets = tokens.last<64>(), .sequences = 1, .length = 64};

    ds::Cpu cpu;
    ds::Weights<M, float, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    ds::Trainer trainer{cpu, weights, {.schedule = {.peak = 1e-3, .warmup = 10, .total = 100}}};
    for (int step = 0; step < 100; ++step) {
        std::printf("%f\n", trainer.step({&batch, 1}).total_loss);
    }
    ds::format::save_model(cpu, "model", weights);

    ds::Session session{cpu, weights};
    ds::Sampler sampler{{.temperature = 0.8}};
    std::vector<ds::Token> story{1};
    while (story.size() < 64) {
        story.push_back(sampler(session.decode(story.back()), story));
        std::printf("%d\n", story.back());
    }
    return 0;
}

#endif
