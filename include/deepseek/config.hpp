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

// Two settings change inline functions, so they are part of the ABI tag: objects built with different ones may meet in
// one program.
//   DEEPSEEK_CHECKS            the checks of inner loops (see core/error.hpp)
//   DEEPSEEK_CPU_MEASURED=0    the Cpu backend by Eigen alone, without kernels of its own (see backend/cpu/policy.hpp)
#if !defined(DEEPSEEK_CPU_MEASURED)
#define DEEPSEEK_CPU_MEASURED 1
#endif
#if defined(DEEPSEEK_CHECKS) && DEEPSEEK_CPU_MEASURED
#define DEEPSEEK_ABI abi_0_1_checked
#elif defined(DEEPSEEK_CHECKS)
#define DEEPSEEK_ABI abi_0_1_checked_eigen
#elif DEEPSEEK_CPU_MEASURED
#define DEEPSEEK_ABI abi_0_1
#else
#define DEEPSEEK_ABI abi_0_1_eigen
#endif

#endif
