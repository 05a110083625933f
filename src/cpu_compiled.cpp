// SPDX-License-Identifier: MIT
// The one translation unit of deepseek::cpu_compiled.
#define DEEPSEEK_CPU_COMPILED_HERE
#include <deepseek/backend/cpu.hpp>
