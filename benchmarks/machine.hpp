// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BENCHMARKS_MACHINE_HPP
#define DEEPSEEK_BENCHMARKS_MACHINE_HPP

#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/core/index.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <vector>

// What the machine can do at most: the limits that results are read against.

namespace deepseek_benchmarks {

// Seconds of the fastest of some runs.
template <class F>
double fastest(F const& run) {
    double best = 1e30;
    for (int i = 0; i < 12; ++i) {
        auto const start = std::chrono::steady_clock::now();
        run();
        best =
            std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return best;
}

// Multiply-adds per second, times two, that the threads reach on registers; measured once per number of threads.
inline double peak_flops(int threads) {
    static std::map<int, double> known;
    if (auto const found = known.find(threads); found != known.end()) {
        return found->second;
    }
    deepseek::cpu::Pool pool(threads);
    constexpr int kSums =
        10;  // enough to hide the latency of two multiply-adds per cycle, few enough for registers
    constexpr int kSteps = 1'000'000;
    using V = deepseek::cpu::measured::Simd<float, deepseek::cpu::measured::kLanes<float>>;
    auto const seconds = fastest([&] {
        pool.run(threads, [](deepseek::index_t) {
            V sums[kSums] = {};
            V factor = V{} + 0.5F;
            benchmark::DoNotOptimize(factor);
            for (int step = 0; step < kSteps; ++step) {
                for (auto& sum : sums) {
                    sum = sum * factor + factor;
                }
            }
            for (auto& sum : sums) {
                benchmark::DoNotOptimize(sum);
            }
        });
    });
    return known[threads] = 2.0 * kSums * kSteps * deepseek::cpu::measured::kLanes<float> * threads / seconds;
}

// Bytes per second at which the threads read memory far larger than the caches; measured once.
inline double read_bytes(int threads) {
    static std::map<int, double> known;
    if (auto const found = known.find(threads); found != known.end()) {
        return found->second;
    }
    deepseek::cpu::Pool pool(threads);
    constexpr deepseek::index_t kParts = 64;
    constexpr deepseek::index_t kPart = deepseek::index_t{1} << 19;
    std::vector<float> const memory(static_cast<std::size_t>(kParts * kPart), 1.0F);
    auto const seconds = fastest([&] {
        pool.run(kParts, [&](deepseek::index_t part) {
            constexpr int kWidth = deepseek::cpu::measured::kLanes<float>;
            deepseek::cpu::measured::Simd<float, kWidth> sums[8] = {};
            auto const* from = memory.data() + part * kPart;
            for (deepseek::index_t i = 0; i < kPart; i += 8 * kWidth) {
                for (int v = 0; v < 8; ++v) {
                    sums[v] += deepseek::cpu::measured::load<float, kWidth>(from + i + v * kWidth);
                }
            }
            for (auto& sum : sums) {
                benchmark::DoNotOptimize(sum);
            }
        });
    });
    return known[threads] = static_cast<double>(kParts * kPart) * sizeof(float) / seconds;
}

}  // namespace deepseek_benchmarks

#endif
