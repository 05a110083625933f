// SPDX-License-Identifier: MIT
// Operations on rows, at the sizes of a model of 100 M parameters: bytes per second that each has to move at least,
// to be read beside those of memcpy. The last argument is the number of threads.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/ops/adamw.hpp>
#include <deepseek/ops/cross_entropy.hpp>
#include <deepseek/ops/dropout.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/embedding.hpp>
#include <deepseek/ops/reduce.hpp>
#include <deepseek/ops/rms_norm.hpp>
#include <deepseek/ops/rope.hpp>
#include <deepseek/ops/swiglu.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstring>
#include <list>

namespace {

using namespace deepseek;

constexpr index_t kWidth = 512;
constexpr index_t kVocabulary = 50'257;
constexpr index_t kTokens = 1024;

// A backend and the memory of one benchmark, filled with normal numbers.
struct Bench {
    explicit Bench(benchmark::State const& state) : cpu({.threads = static_cast<int>(state.range(0))}) {}

    template <class T>
    T* take(index_t count) {
        buffers.emplace_back(cpu, count * static_cast<index_t>(sizeof(T)));
        auto* const data = reinterpret_cast<T*>(buffers.back().data());
        auto const key = RandomKey{Seed{buffers.size()}};
        for (index_t i = 0; i < count; ++i) {
            data[i] = static_cast<T>(key.normal(static_cast<std::uint64_t>(i % 65'536)));
        }
        return data;
    }
    template <index_t C>
    Rows<float, C> rows(index_t count) {
        return {take<float>(count * C), count, C};
    }
    Token* tokens(index_t count, index_t vocabulary) {
        auto* const ids = take<Token>(count);
        auto const key = RandomKey{Seed{7}};
        for (index_t i = 0; i < count; ++i) {
            ids[i] = static_cast<Token>(key.bits(static_cast<std::uint64_t>(i)) %
                                        static_cast<std::uint64_t>(vocabulary));
        }
        return ids;
    }

    Cpu cpu;
    std::list<Buffer<Cpu>> buffers;
};

void count_bytes(benchmark::State& state, index_t elements) {
    state.SetBytesProcessed(state.iterations() * elements * static_cast<index_t>(sizeof(float)));
}

void memcpy_large(benchmark::State& state) {
    Bench bench(state);
    constexpr index_t count = index_t{1} << 24;
    auto* const from = bench.take<float>(count);
    auto* const to = bench.take<float>(count);
    constexpr index_t parts = 64;
    for (auto _ : state) {
        bench.cpu.pool().run(parts, [=](index_t part) {
            std::memcpy(to + part * (count / parts), from + part * (count / parts),
                        count / parts * sizeof(float));
        });
    }
    count_bytes(state, 2 * count);
}

void add(benchmark::State& state) {
    Bench bench(state);
    auto const y = bench.rows<kWidth>(kTokens);
    auto const a = bench.rows<kWidth>(kTokens);
    auto const b = bench.rows<kWidth>(kTokens);
    for (auto _ : state) {
        ops::add(bench.cpu, y, a, b);
    }
    count_bytes(state, 3 * kTokens * kWidth);
}

void rms_norm(benchmark::State& state) {
    Bench bench(state);
    auto const y = bench.rows<kWidth>(kTokens);
    auto const x = bench.rows<kWidth>(kTokens);
    Matrix<float, kWidth> const gain{bench.take<float>(kWidth)};
    auto const inverse = bench.rows<1>(kTokens);
    for (auto _ : state) {
        ops::rms_norm(bench.cpu, y, x, gain, inverse, 1e-6);
    }
    count_bytes(state, 2 * kTokens * kWidth);
}

void rms_norm_backward(benchmark::State& state) {
    Bench bench(state);
    auto const dx = bench.rows<kWidth>(kTokens);
    auto const dy = bench.rows<kWidth>(kTokens);
    auto const x = bench.rows<kWidth>(kTokens);
    Matrix<float, kWidth> const gain{bench.take<float>(kWidth)};
    Matrix<float, kWidth> const dgain{bench.take<float>(kWidth)};
    auto const inverse = bench.rows<1>(kTokens);
    for (auto _ : state) {
        ops::rms_norm_backward(bench.cpu, dx, dgain, dy, x, gain, inverse, ops::Write::overwrite);
    }
    count_bytes(state, 3 * kTokens * kWidth);
}

void swiglu(benchmark::State& state) {
    Bench bench(state);
    auto const act = bench.rows<kWidth>(2 * kTokens);
    auto const gate = bench.rows<kWidth>(2 * kTokens);
    auto const up = bench.rows<kWidth>(2 * kTokens);
    for (auto _ : state) {
        ops::swiglu(bench.cpu, act, gate, up);
    }
    count_bytes(state, 3 * 2 * kTokens * kWidth);
}

void swiglu_backward(benchmark::State& state) {
    Bench bench(state);
    auto const dact = bench.rows<kWidth>(2 * kTokens);
    auto const gate = bench.rows<kWidth>(2 * kTokens);
    auto const up = bench.rows<kWidth>(2 * kTokens);
    for (auto _ : state) {
        ops::swiglu_backward(bench.cpu, gate, up, dact, gate, up);  // in place, as the layers do
    }
    count_bytes(state, 5 * 2 * kTokens * kWidth);
}

template <bool Interleaved>
void rope(benchmark::State& state) {
    Bench bench(state);
    constexpr index_t heads = 8;
    constexpr index_t nope = 64;
    constexpr index_t rotary = 32;
    static constexpr ops::RotaryTable<rotary> table{Rope{.interleaved = Interleaved}};
    auto const q = bench.rows<heads*(nope + rotary)>(kTokens);
    for (auto _ : state) {
        ops::rotate<heads, nope + rotary, nope>(bench.cpu, q, table, kTokens, 0);
    }
    count_bytes(state, 2 * kTokens * heads * rotary);
}

void embed(benchmark::State& state) {
    Bench bench(state);
    Matrix<float, kVocabulary, kWidth> const table{bench.take<float>(kVocabulary * kWidth)};
    auto const y = bench.rows<kWidth>(kTokens);
    auto* const tokens = bench.tokens(kTokens, kVocabulary);
    for (auto _ : state) {
        ops::embed(bench.cpu, y, table, tokens);
    }
    count_bytes(state, 2 * kTokens * kWidth);
}

void embed_backward(benchmark::State& state) {
    Bench bench(state);
    Matrix<float, kVocabulary, kWidth> const dtable{bench.take<float>(kVocabulary * kWidth)};
    auto const dy = bench.rows<kWidth>(kTokens);
    auto* const tokens = bench.tokens(kTokens, kVocabulary);
    for (auto _ : state) {
        ops::embed_backward(bench.cpu, dtable, dy, tokens);
    }
    count_bytes(state, 3 * kTokens * kWidth);
}

void dropout(benchmark::State& state) {
    Bench bench(state);
    auto const x = bench.rows<kWidth>(kTokens);
    Dropout const mask{.rate = 0.1, .key = RandomKey{Seed{3}}};
    for (auto _ : state) {
        ops::dropout(bench.cpu, x, mask);
    }
    count_bytes(state, 2 * kTokens * kWidth);
}

// Logits of part of a batch; their gradient replaces them, so the logits are copied anew each time, untimed.
void cross_entropy(benchmark::State& state) {
    Bench bench(state);
    constexpr index_t rows = 192;
    auto const source = bench.rows<kVocabulary>(rows);
    auto const logits = bench.rows<kVocabulary>(rows);
    auto const loss = bench.rows<1>(rows);
    auto* const targets = bench.tokens(rows, kVocabulary);
    for (auto _ : state) {
        state.PauseTiming();
        ops::copy(bench.cpu, logits, source);
        state.ResumeTiming();
        ops::cross_entropy(bench.cpu, logits, targets, loss, 1.0F / kTokens);
    }
    count_bytes(state, 2 * rows * kVocabulary);
}

void cross_entropy_loss(benchmark::State& state) {
    Bench bench(state);
    constexpr index_t rows = 192;
    auto const logits = bench.rows<kVocabulary>(rows);
    auto const loss = bench.rows<1>(rows);
    auto* const targets = bench.tokens(rows, kVocabulary);
    for (auto _ : state) {
        ops::cross_entropy_loss(bench.cpu, logits, targets, loss);
    }
    count_bytes(state, rows * kVocabulary);
}

void adamw(benchmark::State& state) {
    Bench bench(state);
    constexpr index_t count = index_t{1} << 23;
    auto* const weight = bench.take<float>(count);
    auto* const gradient = bench.take<float>(count);
    auto* const first = bench.take<float>(count);
    auto* const second = bench.take<float>(count);
    for (index_t i = 0; i < count; ++i) {
        second[i] *= second[i];
    }
    Segment const all{.size = count, .decays = true};
    Segments const set{&all, 1, all.blocks(), count};
    ops::AdamWStep const step{.rate = 1e-4, .weight_decay = 0.1};
    for (auto _ : state) {
        ops::adamw(bench.cpu, weight, static_cast<float const*>(gradient), first, second, set, step);
    }
    count_bytes(state, 7 * count);
}

void sum_of_squares(benchmark::State& state) {
    Bench bench(state);
    constexpr index_t count = index_t{1} << 23;
    auto* const x = bench.take<float>(count);
    Segment const all{.size = count};
    Segments const set{&all, 1, all.blocks(), count};
    double total = 0;
    for (auto _ : state) {
        ops::sum_of_squares(bench.cpu, &total, static_cast<float const*>(x), set);
    }
    benchmark::DoNotOptimize(total);
    count_bytes(state, count);
}

BENCHMARK(memcpy_large)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(add)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(rms_norm)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(rms_norm_backward)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(swiglu)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(swiglu_backward)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(rope<true>)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(rope<false>)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(embed)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(embed_backward)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(dropout)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(cross_entropy)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(cross_entropy_loss)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(adamw)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(sum_of_squares)->Arg(1)->Arg(2)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
