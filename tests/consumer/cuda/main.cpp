// SPDX-License-Identifier: MIT
// One program, the same model: the processor in a file of the C++ compiler, the GPU in one of nvcc.
#include <deepseek/backend/cpu.hpp>

#include "train.hpp"

#include <cmath>
#include <cstdio>

int main() {
    try {
        deepseek::Cpu cpu;
        auto const expected = train(cpu);
        if (!has_gpu()) {
            try {
                train_on_gpu();
            } catch (deepseek::Error const& error) {
                std::printf("processor %g; %s\n", expected, error.what());
                return 0;
            }
            return 1;
        }
        auto const given = train_on_gpu();
        std::printf("processor %g, GPU %g\n", expected, given);
        return std::abs(given - expected) < 1e-4 * expected ? 0 : 1;
    } catch (deepseek::Error const& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
