// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CUDA_CUH
#define DEEPSEEK_BACKEND_CUDA_CUH

#include <deepseek/backend/concept.hpp>
#include <deepseek/backend/gpu/backend.hpp>
#include <deepseek/backend/gpu/compute.hpp>
#include <deepseek/backend/gpu/cuda_device.cuh>

namespace deepseek::inline DEEPSEEK_ABI {

/// The GPU backend on a CUDA GPU, for translation units that nvcc compiles (C++20, no other flag).
///
///     ds::Cuda be;  // or be{{.gpu = 1}}
///     ds::Weights<M, float, ds::Cuda> weights{be};
///     ds::Trainer<M, float, ds::Cuda> trainer{be, weights, options};
///
/// See CudaDevice for its options. OutOfMemory says what was asked for, held and free.
using Cuda = Gpu<CudaDevice>;

static_assert(Backend<Cuda>);

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
