// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_CUDA_BLOCK_CUH
#define DEEPSEEK_BACKEND_GPU_CUDA_BLOCK_CUH

#include <deepseek/core/index.hpp>

namespace deepseek::inline DEEPSEEK_ABI::gpu {

/// What a kernel sees of a CUDA GPU; see kernels/block.hpp. Its functions are compiled for the host, too, because kernels
/// are, and do nothing there.
template <class K>
class CudaBlock {
public:
    static constexpr int kThreads = K::kThreads;

    DEEPSEEK_HD explicit CudaBlock(typename K::Shared& shared) : shared_(&shared) {}

    DEEPSEEK_HD index_t index() const {
#if defined(__CUDA_ARCH__)
        return blockIdx.x;
#else
        return 0;
#endif
    }
    DEEPSEEK_HD int thread() const {
#if defined(__CUDA_ARCH__)
        return static_cast<int>(threadIdx.x);
#else
        return 0;
#endif
    }
    DEEPSEEK_HD typename K::Shared& shared() const { return *shared_; }
    DEEPSEEK_HD void sync() const {
#if defined(__CUDA_ARCH__)
        __syncthreads();
#endif
    }
    DEEPSEEK_HD void sync_warp() const {
#if defined(__CUDA_ARCH__)
        __syncwarp();
#endif
    }
    template <class T>
    DEEPSEEK_HD T shuffle_xor(T value, [[maybe_unused]] int mask) const {
#if defined(__CUDA_ARCH__)
        return __shfl_xor_sync(~0U, value, mask);
#else
        return value;
#endif
    }

private:
    typename K::Shared* shared_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::gpu

#endif
