// SPDX-License-Identifier: MIT
// Training on a CUDA GPU: tokens per second, and what a step asks of the device. Ends with 77 where there is none.
#include <deepseek/backend/cuda.cuh>
#include <deepseek/model.hpp>
#include <deepseek/model/presets.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

namespace ds = deepseek;
using ds::index_t;

namespace {

template <class M, class Compute>
void measure(ds::Cuda& be, char const* name, index_t sequences, index_t length) {
    using Clock = std::chrono::steady_clock;
    ds::Weights<M, float, ds::Cuda> weights{be};
    ds::initialize(be, weights, ds::Seed{1});
    ds::Trainer<M, Compute, ds::Cuda> trainer{be, weights, {.schedule = {.peak = 1e-4, .total = 1000}}};
    auto const count = static_cast<std::size_t>(sequences * length);
    std::vector<ds::Token> text(count + 1);
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] = static_cast<ds::Token>(ds::RandomKey{ds::Seed{2}}.bits(i) %
                                         static_cast<std::uint64_t>(M::vocabulary));
    }
    std::span const all(text);
    ds::Batch const batch{all.first(count), all.last(count), sequences, length};
    for (int warm = 0; warm < 2; ++warm) {
        trainer.step(std::span(&batch, 1));
    }
    constexpr int kSteps = 5;
    auto const counts = be.counts();
    auto const begin = Clock::now();
    for (int step = 0; step < kSteps; ++step) {
        trainer.step(std::span(&batch, 1));
    }
    be.synchronize();
    auto const seconds = std::chrono::duration<double>(Clock::now() - begin).count() / kSteps;
    auto const asked = be.counts() - counts;
    std::printf("%-20s %5s %7lld %9.2f %10.0f %9lld %8lld %6lld\n", name,
                sizeof(Compute) == 2 ? "bf16" : "f32", static_cast<long long>(count), 1e3 * seconds,
                static_cast<double>(count) / seconds, static_cast<long long>(asked.launches / kSteps),
                static_cast<long long>(asked.kernels / kSteps), static_cast<long long>(asked.waits / kSteps));
}

}  // namespace

int main() {
    if (ds::CudaDevice::count() == 0) {
        std::puts("skipped: no CUDA GPU");
        return 77;
    }
    try {
        ds::Cuda be;
        std::printf("%s\n%-20s %5s %7s %9s %10s %9s %8s %6s\n", be.device().name().c_str(), "model", "type",
                    "tokens", "ms/step", "tokens/s", "launches", "kernels", "waits");
        measure<ds::FromScratch100M, float>(be, "from_scratch_100m", 4, 512);
        measure<ds::FromScratch100M, ds::bf16>(be, "from_scratch_100m", 4, 512);
        return 0;
    } catch (ds::Error const& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
