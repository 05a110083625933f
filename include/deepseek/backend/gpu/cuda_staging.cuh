// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_CUDA_STAGING_CUH
#define DEEPSEEK_BACKEND_GPU_CUDA_STAGING_CUH

#include <deepseek/backend/gpu/cuda_error.cuh>
#include <deepseek/core/index.hpp>

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace deepseek::inline DEEPSEEK_ABI::gpu {

/// Pinned memory of the host that copies to and from a GPU pass through: the GPU reads and writes such memory by itself, so
/// that an upload returns at once, and its source may be any memory and change then.
///
/// Uploads go around a ring of parts. The host waits only where it comes back to a part that the GPU has not read yet.
class CudaStaging {
public:
    /// Errors:    DeviceError if the system gives no pinned memory
    CudaStaging() {
        try {
            for (auto& event : events_) {
                check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
            }
            void* memory = nullptr;
            check(cudaMallocHost(&memory, kParts * kPart), "cudaMallocHost");
            memory_ = static_cast<std::byte*>(memory);
        } catch (...) {
            destroy();
            throw;
        }
    }
    CudaStaging(CudaStaging const&) = delete;
    CudaStaging& operator=(CudaStaging const&) = delete;
    ~CudaStaging() { destroy(); }

    void upload(void* to, void const* from, std::size_t bytes, cudaStream_t stream) {
        for (std::size_t done = 0; done < bytes;) {
            if (used_ == kPart) {
                next_part(stream);
            }
            auto const piece = std::min(bytes - done, kPart - used_);
            auto* const staged = memory_ + part_ * kPart + used_;
            std::memcpy(staged, static_cast<std::byte const*>(from) + done, piece);
            check(cudaMemcpyAsync(static_cast<std::byte*>(to) + done, staged, piece, cudaMemcpyHostToDevice,
                                  stream),
                  "cudaMemcpyAsync to the GPU");
            used_ =
                std::min(kPart, used_ + static_cast<std::size_t>(round_up(static_cast<index_t>(piece), 64)));
            done += piece;
        }
    }

    /// Returns when the data is there. Large ones go straight to their place, which the driver knows to do best.
    void download(void* to, void const* from, std::size_t bytes, cudaStream_t stream) {
        if (bytes > kPart) {
            check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream),
                  "cudaMemcpyAsync to the host");
            check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
            return;
        }
        next_part(stream);
        auto* const staged = memory_ + part_ * kPart;
        check(cudaMemcpyAsync(staged, from, bytes, cudaMemcpyDeviceToHost, stream),
              "cudaMemcpyAsync to the host");
        check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
        std::memcpy(to, staged, bytes);
    }

private:
    static constexpr std::size_t kParts = 8;
    static constexpr std::size_t kPart = std::size_t{1} << 20;

    void next_part(cudaStream_t stream) {
        check(cudaEventRecord(events_[part_], stream), "cudaEventRecord");
        part_ = (part_ + 1) % kParts;
        check(cudaEventSynchronize(events_[part_]), "cudaEventSynchronize");
        used_ = 0;
    }
    void destroy() noexcept {
        cudaFreeHost(memory_);
        for (auto* const event : events_) {
            if (event != nullptr) {
                cudaEventDestroy(event);
            }
        }
    }

    cudaEvent_t events_[kParts] = {};  // of each part: after the last copy that uses it
    std::byte* memory_ = nullptr;
    std::size_t part_ = 0;
    std::size_t used_ = 0;  // bytes of the part
};

}  // namespace deepseek::inline DEEPSEEK_ABI::gpu

#endif
