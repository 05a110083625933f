// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_CUDA_ERROR_CUH
#define DEEPSEEK_BACKEND_GPU_CUDA_ERROR_CUH

#include <deepseek/backend/gpu/device_error.hpp>
#include <deepseek/core/error.hpp>

#include <cuda_runtime.h>

#include <source_location>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI::gpu {

/// Throws unless a call of the CUDA runtime succeeded.
///
/// Errors:    DeviceError naming the call, what CUDA says, and the line that called. What a kernel did wrong comes out of
///            a later call; CudaDevice::Options::wait_for_launches finds the kernel.
inline void check(cudaError_t status, std::string_view call,
                  std::source_location const& place = std::source_location::current()) {
    if (status != cudaSuccess) [[unlikely]] {
        cudaGetLastError();  // or the next call reports it once more
        detail::fail<DeviceError>({"CUDA: ", call, ": ", cudaGetErrorString(status), " (",
                                   cudaGetErrorName(status), "), ", place.file_name(), ":", place.line()});
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::gpu

#endif
