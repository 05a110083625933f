// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_EIGEN_HPP
#define DEEPSEEK_BACKEND_CPU_EIGEN_HPP

// The one place that includes Eigen: 3.4 or newer.
//
// Threads are those of the backend's pool, so Eigen starts none of its own (it would, with OpenMP), and it brings no CUDA
// code of its own under nvcc. Both are said before its first header; whoever includes Eigen earlier has to say them, too.
#if defined(EIGEN_WORLD_VERSION)
#if defined(_OPENMP) && !defined(EIGEN_DONT_PARALLELIZE)
#error \
    "deepseek: Eigen was included before deepseek with its own threads: define EIGEN_DONT_PARALLELIZE or include deepseek first"
#endif
#else
#if !defined(EIGEN_DONT_PARALLELIZE)
#define EIGEN_DONT_PARALLELIZE
#endif
#if defined(__CUDACC__) && !defined(EIGEN_NO_CUDA)
#define EIGEN_NO_CUDA
#endif
#endif

// A missing file ends compilation; after an #error, g++ goes on and prints hundreds more.
#if !__has_include(<Eigen/Core>)
#include <deepseek: the Cpu backend needs Eigen 3.4 or newer (Debian: libeigen3-dev), so link deepseek::cpu>
#endif
// g++ 12 takes the undefined registers of its own AVX-512 intrinsics for uninitialised variables (bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#if !EIGEN_VERSION_AT_LEAST(3, 4, 0)
#error "deepseek: the Cpu backend needs Eigen 3.4 or newer"
#endif

#endif
