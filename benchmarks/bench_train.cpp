// SPDX-License-Identifier: MIT
// Training: one iteration is one optimizer step on random tokens. Names read
//
//   train/<model>/cpu/<float or bf16: what is computed with>/<sequences>x<length>/threads:<threads>
//
// `tokens/s` counts tokens of the main model's input. `FLOP/s` counts the multiply-adds, times two, that the step asks
// of the backend; `of_peak` is its fraction of what multiply-adds on registers reach with as many threads.
//
// pytorch/compare_train.py runs the same models and batches in PyTorch beside this program.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/meter.hpp>
#include <deepseek/model.hpp>
#include <deepseek/model/presets.hpp>

#include "machine.hpp"
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

namespace ds = deepseek;

using Small =
    ds::Model<ds::Vocabulary<50257>, ds::Blocks<4, ds::MLA<256, 4, 64, 96>, ds::MoE<8, 2, 256, 384>>,
              ds::MTP<1>, ds::Options<ds::ModelOptions{.tied_head = true}>>;

// Operations of one step, from a dry run.
template <class M>
double operations(ds::TrainOptions const& options, ds::Batch const& batch) {
    ds::Meter meter;
    ds::Weights<M, float, ds::Meter> weights{meter};
    ds::Trainer<M, float, ds::Meter> trainer{meter, weights, options};
    trainer.step({&batch, 1});
    return static_cast<double>(meter.operations());
}

template <class M, class Compute>
void train(benchmark::State& state, ds::index_t sequences, ds::index_t length, int threads) {
    ds::Cpu cpu{{.threads = threads}};
    ds::Weights<M, float, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    ds::TrainOptions const options{.schedule = {.peak = 3e-4, .total = 1'000'000}};
    ds::Trainer<M, Compute, ds::Cpu> trainer{cpu, weights, options};

    auto const count = static_cast<std::size_t>(sequences * length);
    std::vector<ds::Token> tokens(count + 1);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        tokens[i] = static_cast<ds::Token>(ds::mix_bits(i) % static_cast<std::uint64_t>(M::vocabulary));
    }
    ds::Batch const batch{{tokens.data(), count}, {tokens.data() + 1, count}, sequences, length};

    trainer.step({&batch, 1});  // memory is allocated in the first step
    for (auto _ : state) {
        benchmark::DoNotOptimize(trainer.step({&batch, 1}).total_loss);
    }
    using benchmark::Counter;
    auto const flops = operations<M>(options, batch);
    auto const steps = static_cast<double>(state.iterations());
    state.counters["tokens/s"] = Counter(steps * static_cast<double>(count), Counter::kIsRate);
    state.counters["FLOP/s"] = Counter(steps * flops, Counter::kIsRate);
    state.counters["of_peak"] =
        Counter(steps * flops / deepseek_benchmarks::peak_flops(threads), Counter::kIsRate);
    state.counters["activation_bytes"] = static_cast<double>(trainer.activation_bytes());
}

template <class M, class Compute>
void add(std::string const& model, char const* computing, ds::index_t sequences, ds::index_t length) {
    for (int const threads : {1, 2}) {
        auto const name = ds::message("train/", model, "/cpu/", computing, "/", sequences, "x", length,
                                      "/threads:", threads);
        benchmark::RegisterBenchmark(
            name.c_str(),
            [=](benchmark::State& state) { train<M, Compute>(state, sequences, length, threads); })
            ->Iterations(2)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
    }
}

}  // namespace

int main(int argc, char** argv) {
    add<ds::FromScratch100M, float>("from_scratch_100m", "float", 4, 256);
    add<ds::FromScratch100M, float>("from_scratch_100m", "float", 1, 1024);
    add<Small, float>("width_256", "float", 16, 256);
    add<ds::FromScratch100M, ds::bf16>("from_scratch_100m", "bf16", 4, 256);
    add<ds::FromScratch100M, ds::bf16>("from_scratch_100m", "bf16", 1, 1024);
    add<Small, ds::bf16>("width_256", "bf16", 16, 256);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    benchmark::RunSpecifiedBenchmarks();
}
