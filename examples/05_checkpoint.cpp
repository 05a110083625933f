// SPDX-License-Identifier: MIT
// A checkpoint is a Hugging Face model directory, so that other programs read it, plus what resuming needs.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/format/checkpoint.hpp>
#include <deepseek/model.hpp>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ds = deepseek;

template <ds::index_t Experts>
using ModelOf = ds::Model<ds::Vocabulary<256>, ds::Blocks<1, ds::MLA<64, 4, 32, 48>, ds::SwiGLU<128>>,
                          ds::Blocks<1, ds::MLA<64, 4, 32, 48>, ds::MoE<Experts, 2, 64, 64>>, ds::MTP<1>>;
using Model = ModelOf<8>;
using Trainer = ds::Trainer<Model, float, ds::Cpu>;

// A run: weights, and what trains them.
struct Run {
    explicit Run(ds::Cpu& cpu)
        : weights(cpu), trainer(cpu, weights, {.schedule = {.peak = 1e-3, .total = 20}}) {
        ds::initialize(cpu, weights, ds::Seed{1});
    }
    void steps(int count) {
        std::string_view const text = "Sphinx of black quartz, judge my vow.";
        std::vector<ds::Token> const all(text.begin(), text.end());
        std::span const tokens(all);
        ds::Batch const batch{tokens.first(36), tokens.subspan(1), 1, 36};
        for (int i = 0; i < count; ++i) {
            trainer.step({&batch, 1});
        }
    }
    ds::Weights<Model, float, ds::Cpu> weights;
    Trainer trainer;
};

bool same_bits(Run const& a, Run const& b) {
    return std::memcmp(a.weights.data(), b.weights.data(), static_cast<std::size_t>(a.weights.bytes())) == 0;
}

int main() {
    std::filesystem::path const directory = "05_checkpoint.run";
    ds::Cpu cpu;

    // Ten steps, a checkpoint, and ten more.
    Run whole{cpu};
    whole.steps(10);
    auto const& at = whole.trainer.progress();
    ds::format::save_checkpoint(
        cpu, directory, whole.weights, whole.trainer.first_moment(), whole.trainer.second_moment(),
        {.step = at.step, .updates = at.updates, .tokens = at.tokens, .skips = at.skips});
    whole.steps(10);

    std::set<std::string> names;  // a directory has no order of its own
    for (auto const& file : std::filesystem::directory_iterator(directory)) {
        names.insert(file.path().filename().string());
    }
    for (auto const& name : names) {
        std::printf("%s\n", name.c_str());
    }

    // The same ten steps from the checkpoint, as another process would take them.
    Run resumed{cpu};
    auto const state = ds::format::load_checkpoint(
        cpu, directory, resumed.weights, resumed.trainer.first_moment(), resumed.trainer.second_moment());
    resumed.trainer.progress() = {.step = state.step,
                                  .updates = state.updates,
                                  .tokens = state.tokens,
                                  .skips = static_cast<int>(state.skips)};
    resumed.steps(10);
    std::printf("resumed after step %lld, both runs have the same bits: %s\n",
                static_cast<long long>(state.step), same_bits(whole, resumed) ? "yes" : "no");

    // Weights alone are all that generation reads. A type that is not the file's is refused with every difference.
    ds::Weights<ModelOf<4>, float, ds::Cpu> other{cpu};
    try {
        ds::format::load_model(cpu, directory, other);
    } catch (ds::Error const& error) {
        std::printf("%s\n", error.what());
    }
    std::filesystem::remove_all(directory);
}
