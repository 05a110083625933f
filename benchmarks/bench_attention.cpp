// SPDX-License-Identifier: MIT
// Attention in training (operations per second, to be read beside those of matmul) and over the latent cache while
// generating (bytes per second of the cache or weights, to be read beside those of copy). Causal: only pairs of a query
// and a key it sees are counted. Every benchmark ends in its number of threads.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/attention.hpp>
#include <deepseek/ops/attention.hpp>
#include <deepseek/ops/latent_attention.hpp>
#include <deepseek/ops/matmul.hpp>

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <list>

namespace {

using namespace deepseek;

// A backend and the memory of one benchmark, filled with normal numbers.
class Bench {
public:
    explicit Bench(index_t threads) : cpu({.threads = static_cast<int>(threads)}) {}

    template <class T>
    T* take(index_t count) {
        buffers_.emplace_back(cpu, count * static_cast<index_t>(sizeof(T)));
        auto* const data = reinterpret_cast<T*>(buffers_.back().data());
        auto const key = RandomKey{Seed{buffers_.size()}};
        for (index_t i = 0; i < count; ++i) {
            data[i] = convert<T>(key.normal(static_cast<std::uint64_t>(i % 65'536)));
        }
        return data;
    }
    template <class T, index_t C>
    Rows<T, C> rows(index_t count) {
        return {take<T>(count * C), count};
    }

    Cpu cpu;

private:
    std::list<Buffer<Cpu>> buffers_;
};

void count_operations(benchmark::State& state, double operations) {
    state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsIterationInvariantRate,
                                                  benchmark::Counter::kIs1000);
}

void count_bytes(benchmark::State& state, double bytes) {
    state.counters["bytes/s"] =
        benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}

void matmul(benchmark::State& state) {
    constexpr index_t kSize = 1024;
    Bench bench(state.range(0));
    auto const x = bench.rows<float, kSize>(kSize);
    auto const y = bench.rows<float, kSize>(kSize);
    Matrix<float, kSize, kSize> const w{bench.take<float>(kSize * kSize)};
    for (auto _ : state) {
        ops::matmul_nt(bench.cpu, y, x, w);
    }
    count_operations(state, 2.0 * kSize * kSize * kSize);
}

void copy(benchmark::State& state) {
    constexpr index_t kBytes = index_t{1} << 26;
    constexpr index_t kParts = 64;
    Bench bench(state.range(0));
    auto* const from = bench.take<float>(kBytes / 4);
    auto* const to = bench.take<float>(kBytes / 4);
    for (auto _ : state) {
        bench.cpu.pool().run(kParts, [=](index_t part) {
            constexpr auto kPart = kBytes / 4 / kParts;
            std::memcpy(to + part * kPart, from + part * kPart, kPart * sizeof(float));
        });
    }
    count_bytes(state, 2.0 * kBytes);
}

enum class Direction { forward, backward, both };

template <Direction D, index_t Heads, index_t Nope, index_t Rope, index_t Value>
void attention(benchmark::State& state) {
    auto const sequences = state.range(0);
    auto const length = state.range(1);
    Bench bench(state.range(2));
    auto const tokens = sequences * length;
    auto const q = bench.rows<float, Heads*(Nope + Rope)>(tokens),
               dq = bench.rows<float, Heads*(Nope + Rope)>(tokens);
    auto const kv = bench.rows<float, Heads*(Nope + Value)>(tokens),
               dkv = bench.rows<float, Heads*(Nope + Value)>(tokens);
    auto const kr = bench.rows<float, Rope>(tokens), dkr = bench.rows<float, Rope>(tokens);
    auto const out = bench.rows<float, Heads * Value>(tokens),
               dout = bench.rows<float, Heads * Value>(tokens);
    auto const lse = bench.rows<float, Heads>(tokens);
    AttentionOptions const options{.sequences = sequences,
                                   .scale = 1 / std::sqrt(static_cast<double>(Nope + Rope))};
    ops::attention(bench.cpu, out, lse, q, kv, kr, options);
    for (auto _ : state) {
        if constexpr (D != Direction::backward) {
            ops::attention(bench.cpu, out, lse, q, kv, kr, options);
        }
        if constexpr (D != Direction::forward) {
            ops::attention_backward(bench.cpu, dq, dkv, dkr, dout, out, lse, q, kv, kr, options);
        }
    }
    auto const pairs = static_cast<double>(sequences * Heads * length * (length + 1) / 2);
    auto const forward = pairs * 2 * (Nope + Rope + Value);
    auto const backward = pairs * 2 * (3 * (Nope + Rope) + 2 * Value);
    count_operations(state, D == Direction::forward    ? forward
                            : D == Direction::backward ? backward
                                                       : forward + backward);
}

template <class C, index_t Heads, index_t Rank, index_t Rope>
void latent_attention(benchmark::State& state) {
    constexpr index_t kNope = 2 * Rope;
    auto const tokens = state.range(0);
    auto const positions = state.range(1);
    Bench bench(state.range(2));
    auto const context = bench.rows<float, Heads * Rank>(tokens),
               q_latent = bench.rows<float, Heads * Rank>(tokens);
    auto const q = bench.rows<float, Heads*(kNope + Rope)>(tokens);
    auto const latent = bench.rows<C, Rank>(positions);
    auto const key = bench.rows<C, Rope>(positions);
    auto const scale = 1 / std::sqrt(static_cast<double>(Rank + Rope));
    for (auto _ : state) {
        ops::latent_attention<Heads, kNope>(bench.cpu, context, q_latent, q, latent, key, scale);
    }
    count_bytes(state, static_cast<double>(positions * (Rank + Rope)) * sizeof(C));
    count_operations(state, 2.0 * static_cast<double>(tokens * Heads * positions * (2 * Rank + Rope)));
}

enum class Product { absorb, expand };

// Goes round `kLayers` weights, so that they come from memory as they do while generating.
template <Product P, class W, index_t Heads, index_t Rank, index_t Nope, index_t Rope, index_t Value>
void head_products(benchmark::State& state) {
    constexpr index_t kLayers = 8;
    constexpr auto kRows = Heads * (Nope + Value);
    auto const tokens = state.range(0);
    Bench bench(state.range(1));
    auto const q = bench.rows<float, Heads*(Nope + Rope)>(tokens);
    auto const latent = bench.rows<float, Heads * Rank>(tokens);
    auto const out = bench.rows<float, Heads * Value>(tokens);
    auto* const weights = bench.take<W>(kLayers * kRows * Rank);
    index_t layer = 0;
    for (auto _ : state) {
        Matrix<W, kRows, Rank> const weight{weights + layer * kRows * Rank};
        if constexpr (P == Product::absorb) {
            ops::absorb_query<Heads, Nope, Rope, Value>(bench.cpu, latent, q, weight);
        } else {
            ops::expand_values<Heads, Nope>(bench.cpu, out, latent, weight);
        }
        layer = (layer + 1) % kLayers;
    }
    count_bytes(state, static_cast<double>(Heads * (P == Product::absorb ? Nope : Value) * Rank) * sizeof(W));
}

// The widths of a model of 100 M parameters, of one that models characters, and of DeepSeek-V3.
template <Direction D>
constexpr auto attention_100m = attention<D, 8, 64, 32, 64>;
template <Direction D>
constexpr auto attention_characters = attention<D, 4, 32, 16, 32>;
template <class C>
constexpr auto latent_100m = latent_attention<C, 8, 128, 32>;
template <class C>
constexpr auto latent_v3 = latent_attention<C, 128, 512, 64>;
template <Product P, class W>
constexpr auto products_100m = head_products<P, W, 8, 128, 64, 32, 64>;
template <Product P, class W>
constexpr auto products_v3 = head_products<P, W, 128, 512, 128, 64, 128>;

void training(benchmark::internal::Benchmark* benchmark) {
    benchmark->UseRealTime()->ArgNames({"sequences", "length", "threads"});
    for (auto const threads : {1, 2}) {
        benchmark->Args({1, 1024, threads})->Args({4, 256, threads});
    }
}
void characters(benchmark::internal::Benchmark* benchmark) {
    benchmark->UseRealTime()
        ->ArgNames({"sequences", "length", "threads"})
        ->Args({12, 64, 1})
        ->Args({12, 64, 2});
}
void generating(benchmark::internal::Benchmark* benchmark) {
    benchmark->UseRealTime()->ArgNames({"tokens", "positions", "threads"});
    for (auto const threads : {1, 2}) {
        benchmark->Args({1, 1024, threads})->Args({1, 16'384, threads})->Args({8, 1024, threads});
    }
}
void tokens(benchmark::internal::Benchmark* benchmark) {
    benchmark->UseRealTime()->ArgNames({"tokens", "threads"})->ArgsProduct({{1, 8}, {1, 2}});
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    auto const add = [](char const* name, auto* run) { return benchmark::RegisterBenchmark(name, run); };
    add("matmul", matmul)->UseRealTime()->ArgName("threads")->Arg(1)->Arg(2);
    add("copy", copy)->UseRealTime()->ArgName("threads")->Arg(1)->Arg(2);
    add("attention/forward", attention_100m<Direction::forward>)->Apply(training);
    add("attention/backward", attention_100m<Direction::backward>)->Apply(training);
    add("attention/both", attention_100m<Direction::both>)->Apply(training);
    add("attention_characters/both", attention_characters<Direction::both>)->Apply(characters);
    add("latent_attention/float", latent_100m<float>)->Apply(generating);
    add("latent_attention/bf16", latent_100m<bf16>)->Apply(generating);
    add("latent_attention_v3/bf16", latent_v3<bf16>)->Apply(generating);
    add("absorb_query/float", products_100m<Product::absorb, float>)->Apply(tokens);
    add("expand_values/float", products_100m<Product::expand, float>)->Apply(tokens);
    add("absorb_query_v3/bf16", products_v3<Product::absorb, bf16>)->Apply(tokens);
    add("expand_values_v3/bf16", products_v3<Product::expand, bf16>)->Apply(tokens);
    benchmark::RunSpecifiedBenchmarks();
}
