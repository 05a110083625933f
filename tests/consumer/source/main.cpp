// SPDX-License-Identifier: MIT
#include "second.hpp"

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <cstdio>

int main() try {
    std::printf("%lld bytes\n", static_cast<long long>(bytes_of(deepseek::checked_mul(3, 7))));
} catch (deepseek::Error const& error) {
    std::puts(error.what());
    return 1;
}
