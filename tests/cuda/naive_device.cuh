// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_CUDA_NAIVE_DEVICE_CUH
#define DEEPSEEK_TESTS_CUDA_NAIVE_DEVICE_CUH

#include <deepseek/backend/concept.hpp>
#include <deepseek/backend/gpu/backend.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>

namespace deepseek_tests {

namespace ds = deepseek;
using ds::index_t;

inline void check(cudaError_t status, char const* what) {
    ds::expects(status == cudaSuccess, "CUDA: ", what, ": ", cudaGetErrorString(status));
}

template <class F>
__global__ void call_body(index_t count, F const body) {
    auto const threads = static_cast<index_t>(gridDim.x) * blockDim.x;
    for (auto i = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += threads) {
        body(i);
    }
}

/// The least that makes a CUDA GPU a device: every loop is a kernel of one thread per call.
class NaiveDevice {
public:
    struct Options {};

    explicit NaiveDevice(Options const&) { check(cudaStreamCreate(&stream_), "stream"); }
    NaiveDevice(NaiveDevice const&) = delete;
    NaiveDevice& operator=(NaiveDevice const&) = delete;
    ~NaiveDevice() { cudaStreamDestroy(stream_); }

    std::byte* allocate(index_t bytes) {
        void* memory = nullptr;
        check(cudaMalloc(&memory, static_cast<std::size_t>(bytes)), "memory");
        return static_cast<std::byte*>(memory);
    }
    void deallocate(std::byte* memory, index_t) noexcept { cudaFree(memory); }

    void upload(void* to, void const* from, index_t bytes) { copy(to, from, bytes, cudaMemcpyHostToDevice); }
    void download(void* to, void const* from, index_t bytes) {
        copy(to, from, bytes, cudaMemcpyDeviceToHost);
        wait();
    }
    void copy(void* to, void const* from, index_t bytes) { copy(to, from, bytes, cudaMemcpyDeviceToDevice); }
    void fill_zero(void* to, index_t bytes) {
        check(cudaMemsetAsync(to, 0, static_cast<std::size_t>(bytes), stream_), "fill");
    }

    template <class F>
    void launch(index_t count, F const& body) {
        constexpr unsigned kThreads = 128;
        auto const blocks = static_cast<unsigned>(std::min<index_t>(ds::ceil_div(count, kThreads), 1 << 20));
        call_body<F><<<blocks, kThreads, 0, stream_>>>(count, body);
        check(cudaGetLastError(), "launch");
    }
    void wait() { check(cudaStreamSynchronize(stream_), "wait"); }

private:
    void copy(void* to, void const* from, index_t bytes, cudaMemcpyKind kind) {
        check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), kind, stream_), "copy");
    }

    cudaStream_t stream_ = nullptr;
};

static_assert(ds::gpu::Device<NaiveDevice>);
static_assert(ds::Backend<ds::Gpu<NaiveDevice>>);

}  // namespace deepseek_tests

#endif
