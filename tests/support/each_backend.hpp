// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_SUPPORT_EACH_BACKEND_HPP
#define DEEPSEEK_TESTS_SUPPORT_EACH_BACKEND_HPP

#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/emulated.hpp>

#include <doctest/doctest.h>

namespace deepseek_tests {

/// The list of backends that layers, models, training and generation are tested on: calls test(be) for each.
template <class F>
void on_each_backend(F const& test) {
    {
        INFO("Cpu");
        deepseek::Cpu be{{.threads = 2}};
        test(be);
    }
    {
        INFO("emulated device");
        deepseek::Emulated be{{.order = deepseek::gpu::Order::scattered}};
        test(be);
    }
}

}  // namespace deepseek_tests

#endif
