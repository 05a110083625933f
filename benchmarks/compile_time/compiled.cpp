// SPDX-License-Identifier: MIT
// small.cpp in a program that links deepseek::cpu_compiled.
#define DEEPSEEK_CPU_COMPILED
#include "small.cpp"
