// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_CUDA_DEVICE_CUH
#define DEEPSEEK_BACKEND_GPU_CUDA_DEVICE_CUH

#include <deepseek/backend/gpu/backend.hpp>
#include <deepseek/backend/gpu/cuda_block.cuh>
#include <deepseek/backend/gpu/cuda_error.cuh>
#include <deepseek/backend/gpu/cuda_staging.cuh>
#include <deepseek/backend/gpu/device_error.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI {

namespace gpu {

inline constexpr int kLoopThreads = 128;

/// body(i) for every i in [0, count).
template <class F>
__global__ void __launch_bounds__(kLoopThreads, 1) call_body(index_t count, F const body) {
    auto const threads = static_cast<index_t>(gridDim.x) * kLoopThreads;
    for (auto i = static_cast<index_t>(blockIdx.x) * kLoopThreads + threadIdx.x; i < count; i += threads) {
        body(i);
    }
}

/// kernel(block) for every thread of every block of the grid.
template <class K>
__global__ void __launch_bounds__(K::kThreads, 1) call_kernel(K const kernel) {
    __shared__ typename K::Shared shared;
    CudaBlock<K> block(shared);
    kernel(block);
}

/// Makes a GPU the calling thread's current one until the end of the scope.
class CurrentGpu {
public:
    explicit CurrentGpu(int gpu) {
        check(cudaGetDevice(&before_), "cudaGetDevice");
        if (before_ != gpu) {
            check(cudaSetDevice(gpu), "cudaSetDevice");
        }
        changed_ = before_ != gpu;
    }
    CurrentGpu(CurrentGpu const&) = delete;
    CurrentGpu& operator=(CurrentGpu const&) = delete;
    ~CurrentGpu() {
        if (changed_) {
            cudaSetDevice(before_);
        }
    }

private:
    int before_ = 0;
    bool changed_ = false;
};

}  // namespace gpu

/// A CUDA GPU: memory from cudaMalloc, work in one stream of its own.
class CudaDevice {
public:
    struct Options {
        int gpu = 0;  ///< its number, as CUDA_VISIBLE_DEVICES leaves them
        /// Slow: waits for every launch, so that what a kernel does wrong is reported with the kernel's name.
        bool wait_for_launches = false;
    };

    /// How many there are. None where there is no driver.
    static int count() {
        int gpus = 0;
        if (cudaGetDeviceCount(&gpus) != cudaSuccess) {
            cudaGetLastError();
            return 0;
        }
        return gpus;
    }

    /// Errors:    DeviceError if there is no such GPU or it cannot be had
    explicit CudaDevice(Options const& options)
        : gpu_(existing(options.gpu)), wait_for_launches_(options.wait_for_launches) {
        gpu::CurrentGpu const current(gpu_);
        cudaDeviceProp properties{};
        gpu::check(cudaGetDeviceProperties(&properties, gpu_), "cudaGetDeviceProperties");
        name_ = message("CUDA GPU ", gpu_, " (", properties.name, ")");
        staging_.emplace();
        gpu::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    }
    CudaDevice(CudaDevice const&) = delete;
    CudaDevice& operator=(CudaDevice const&) = delete;
    ~CudaDevice() {
        cudaStreamSynchronize(stream_);
        cudaStreamDestroy(stream_);
    }

    std::string const& name() const { return name_; }
    int gpu() const { return gpu_; }
    /// All work is in this stream, in the order in which it was asked for.
    cudaStream_t stream() const { return stream_; }

    std::byte* allocate(index_t bytes) {
        gpu::CurrentGpu const current(gpu_);
        void* memory = nullptr;
        auto const status = cudaMalloc(&memory, static_cast<std::size_t>(bytes));
        if (status == cudaErrorMemoryAllocation) {
            cudaGetLastError();
            std::size_t free = 0;
            std::size_t all = 0;
            gpu::check(cudaMemGetInfo(&free, &all), "cudaMemGetInfo");
            throw OutOfMemory(name_, bytes, held_, static_cast<index_t>(free), static_cast<index_t>(all));
        }
        gpu::check(status, "cudaMalloc");
        held_ += bytes;
        return static_cast<std::byte*>(memory);
    }
    void deallocate(std::byte* memory, index_t bytes) noexcept {
        cudaStreamSynchronize(stream_);  // its error comes again, from every call behind it
        cudaFree(memory);
        held_ -= bytes;
    }

    void upload(void* to, void const* from, index_t bytes) {
        gpu::CurrentGpu const current(gpu_);
        staging_->upload(to, from, static_cast<std::size_t>(bytes), stream_);
    }
    void download(void* to, void const* from, index_t bytes) {
        gpu::CurrentGpu const current(gpu_);
        staging_->download(to, from, static_cast<std::size_t>(bytes), stream_);
    }
    void copy(void* to, void const* from, index_t bytes) {
        gpu::CurrentGpu const current(gpu_);
        auto* const begin = static_cast<std::byte*>(to);
        auto const* const source = static_cast<std::byte const*>(from);
        if (begin >= source + bytes || source >= begin + bytes) {
            copy_apart(to, from, bytes);
        } else if (begin != source) {  // which cudaMemcpy does not do
            void* between = nullptr;
            gpu::check(cudaMallocAsync(&between, static_cast<std::size_t>(bytes), stream_),
                       "cudaMallocAsync");
            copy_apart(between, from, bytes);
            copy_apart(to, between, bytes);
            gpu::check(cudaFreeAsync(between, stream_), "cudaFreeAsync");
        }
    }
    void fill_zero(void* to, index_t bytes) {
        gpu::CurrentGpu const current(gpu_);
        gpu::check(cudaMemsetAsync(to, 0, static_cast<std::size_t>(bytes), stream_), "cudaMemsetAsync");
    }

    template <class F>
    void launch(index_t count, F const& body) {
        gpu::CurrentGpu const current(gpu_);
        auto const blocks = std::min<index_t>(ceil_div(count, gpu::kLoopThreads), kMostBlocks);
        gpu::call_body<F><<<static_cast<unsigned>(blocks), gpu::kLoopThreads, 0, stream_>>>(count, body);
        launched(std::source_location::current().function_name());
    }
    template <class K>
    void launch_blocks(index_t blocks, K const& kernel) {
        expects(blocks <= kMostBlocks, name_, ": a grid of ", blocks, " blocks; the most are ", kMostBlocks);
        gpu::CurrentGpu const current(gpu_);
        gpu::call_kernel<K><<<static_cast<unsigned>(blocks), K::kThreads, 0, stream_>>>(kernel);
        launched(std::source_location::current().function_name());
    }
    void wait() { gpu::check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

private:
    static constexpr index_t kMostBlocks = std::numeric_limits<std::int32_t>::max();

    static int existing(int gpu) {
        int gpus = 0;
        auto const status = cudaGetDeviceCount(&gpus);
        if (status != cudaSuccess) {
            cudaGetLastError();
            detail::fail<DeviceError>({"CUDA: there is no GPU: ", cudaGetErrorString(status)});
        }
        expects<DeviceError>(gpu >= 0 && gpu < gpus, "CUDA: there is no GPU ", gpu, "; there are ", gpus);
        return gpu;
    }

    void copy_apart(void* to, void const* from, index_t bytes) {
        gpu::check(
            cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, stream_),
            "cudaMemcpyAsync within the GPU");
    }
    // `what` has the type of the kernel in it.
    void launched(std::string_view what) {
        gpu::check(cudaGetLastError(), what);
        if (wait_for_launches_) {
            gpu::check(cudaStreamSynchronize(stream_), what);
        }
    }

    int gpu_;
    bool wait_for_launches_;
    std::string name_;
    std::optional<gpu::CudaStaging> staging_;  // on that GPU
    cudaStream_t stream_ = nullptr;
    index_t held_ = 0;
};

static_assert(gpu::Device<CudaDevice>);

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
