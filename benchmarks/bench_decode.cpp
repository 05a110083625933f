// SPDX-License-Identifier: MIT
// Generation: one iteration decodes one token of one sequence over the latent cache. Names read
//
//   decode/<model>/cpu/<type of the weights>/context:<tokens in the cache>/threads:<threads>
//
// `bytes/s` counts the weights a token uses and the cache it reads; `of_read` is its fraction of the speed at which as
// many threads read memory: the limit for one sequence.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>
#include <deepseek/model/presets.hpp>

#include "machine.hpp"
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

namespace ds = deepseek;

template <class M, class T>
void decode(benchmark::State& state, ds::index_t context, int threads) {
    ds::Cpu cpu{{.threads = threads}};
    ds::Weights<M, T, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    ds::Session session{cpu, weights};

    std::vector<ds::Token> prompt(static_cast<std::size_t>(context));
    for (std::size_t i = 0; i < prompt.size(); ++i) {
        prompt[i] = static_cast<ds::Token>(ds::mix_bits(i) % static_cast<std::uint64_t>(M::vocabulary));
    }
    session.prefill(prompt);
    ds::Token next = 1;
    for (auto _ : state) {
        benchmark::DoNotOptimize(session.decode(next).data());
        next = (next * 7 + 1) % static_cast<ds::Token>(M::vocabulary);
        session.truncate(context);
    }
    // A tied embedding is the head as well; an untied one is read by one row.
    auto const table = M::options.tied_head ? 0 : M::vocabulary * M::width;
    auto const bytes = (ds::active_param_count<M> - table) * static_cast<ds::index_t>(sizeof(T)) +
                       context * ds::cache_bytes_per_token<M, T>;
    using benchmark::Counter;
    auto const read = static_cast<double>(state.iterations()) * static_cast<double>(bytes);
    state.counters["tokens/s"] = Counter(static_cast<double>(state.iterations()), Counter::kIsRate);
    state.counters["bytes/s"] = Counter(read, Counter::kIsRate);
    state.counters["of_read"] = Counter(read / deepseek_benchmarks::read_bytes(threads), Counter::kIsRate);
}

template <class T>
void add(char const* type) {
    for (ds::index_t const context : {16, 1000}) {
        for (int const threads : {1, 2}) {
            auto const name = ds::message("decode/from_scratch_100m/cpu/", type, "/context:", context,
                                          "/threads:", threads);
            benchmark::RegisterBenchmark(
                name.c_str(),
                [=](benchmark::State& state) { decode<ds::FromScratch100M, T>(state, context, threads); })
                ->Unit(benchmark::kMillisecond)
                ->UseRealTime();
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    add<float>("float");
    add<ds::bf16>("bf16");
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    benchmark::RunSpecifiedBenchmarks();
}
