// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_SUPPORT_EACH_BACKEND_HPP
#define DEEPSEEK_TESTS_SUPPORT_EACH_BACKEND_HPP

#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/emulated.hpp>

#include <doctest/doctest.h>

namespace deepseek_tests {

/// The backends that layers are tested on: calls test(be) for each. On the emulated device all operations are loops: a
/// gradient check runs thousands of passes, and a kernel's threads take turns there. Kernels have tests of their own, and
/// whole models run on them (tests/model, tests/train).
template <class F>
void on_each_backend(F const& test) {
    {
        INFO("Cpu");
        deepseek::Cpu be{{.threads = 2}};
        test(be);
    }
    {
        INFO("emulated device");
        deepseek::Gpu<deepseek::EmulatedDevice, deepseek::OperationList<>> be{
            {.order = deepseek::gpu::Order::scattered}};
        test(be);
    }
}

}  // namespace deepseek_tests

#endif
