// SPDX-License-Identifier: MIT
// Training: batches in, a smaller loss out. A model this small learns two sentences by heart in a second.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <array>
#include <cmath>
#include <cstdio>
#include <span>
#include <string_view>
#include <vector>

namespace ds = deepseek;

using Attention = ds::MLA<64, 4, 32, 48>;
using Model = ds::Model<ds::Vocabulary<256>,  // a token is a byte
                        ds::Blocks<1, Attention, ds::SwiGLU<128>>,
                        ds::Blocks<1, Attention, ds::MoE<8, 2, 64, 64>>, ds::MTP<1>>;

int main() {
    ds::Cpu cpu;  // all threads of the machine
    ds::Weights<Model, float, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});

    // A batch is views of tokens, and for every token the one that follows it: here one window of 40 bytes each.
    std::string_view const fox = "The quick brown fox jumps over a lazy dog.";
    std::string_view const ship = "Sphinx of black quartz, judge my grand vow.";
    std::vector<ds::Token> const a(fox.begin(), fox.end());
    std::vector<ds::Token> const b(ship.begin(), ship.end());
    constexpr ds::index_t kLength = 40;
    auto const window = [](std::span<ds::Token const> text) {
        return ds::Batch{text.subspan(0, kLength), text.subspan(1, kLength), 1, kLength};
    };
    std::array const batches{window(a), window(b)};

    // Options are structs: name what you change, the rest is as in the DeepSeek-V3 report.
    ds::Trainer trainer{
        cpu, weights, {.schedule = {.peak = 1e-2, .warmup = 10, .total = 100}, .bias_speed = 1e-2F}};
    auto const before = trainer.evaluate(batches);
    std::printf("loss before: %.1f nats per token; ln 256 is %.1f\n", before.main, std::log(256.0));

    // One call is one optimizer step. Both batches are its micro-batches: gradients add up, the weights move once.
    for (int step = 0; step < 100; ++step) {
        auto const report = trainer.step(batches);
        if (report.skipped) {  // loss or gradient was not finite; the weights are as they were
            return 1;
        }
    }
    auto const after = trainer.evaluate(batches);
    std::printf("after %lld steps and %lld tokens\n", static_cast<long long>(trainer.progress().step),
                static_cast<long long>(trainer.progress().tokens));
    std::printf("  the next token is learned by heart:      %s\n", after.main < 0.01 ? "yes" : "no");
    std::printf("  and so is the token after it (MTP):      %s\n", after.mtp[0] < 0.01 ? "yes" : "no");

    // Every token chose 2 of 8 experts in the one mixture of this model.
    double chosen = 0;
    for (double const count : trainer.expert_load().at(0)) {
        chosen += count;
    }
    std::printf("  experts chosen in the last step:         %.0f\n", chosen);
    return 0;
}
