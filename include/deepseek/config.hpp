// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CONFIG_HPP
#define DEEPSEEK_CONFIG_HPP

// Macros only; every header of the library includes this one first.

// Functions that both a host compiler and nvcc compile.
#if defined(__CUDACC__)
#define DEEPSEEK_HD __host__ __device__
#else
#define DEEPSEEK_HD
#endif

// DEEPSEEK_CHECKS turns on the checks of inner loops (see core/error.hpp). It changes inline functions, so it
// is part of the ABI tag: objects built with and without it may meet in one program.
#if defined(DEEPSEEK_CHECKS)
#define DEEPSEEK_ABI abi_0_1_checked
#else
#define DEEPSEEK_ABI abi_0_1
#endif

#endif
