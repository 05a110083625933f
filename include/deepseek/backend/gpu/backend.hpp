// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_BACKEND_HPP
#define DEEPSEEK_BACKEND_GPU_BACKEND_HPP

#include <deepseek/backend/concept.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/arena.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

// One backend for every device that has memory of its own and works through a queue: the source of what runs on a GPU
// is the same for all of them, and what differs is a Device.

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {
struct BlockKernel {
    static constexpr int kThreads = 32;
    struct Shared {};
    template <class Block>
    DEEPSEEK_HD void operator()(Block&) const {}
};
}  // namespace detail

namespace gpu {

/// How often a device was asked for what.
struct Counts {
    index_t launches = 0;     ///< loops and kernels
    index_t kernels = 0;      ///< kernels whose threads work together
    index_t waits = 0;        ///< times the host waited until the queue was empty: downloads, synchronize
    index_t uploads = 0;      ///< copies from the host
    index_t downloads = 0;    ///< copies to the host
    index_t copies = 0;       ///< copies within the device
    index_t fills = 0;        ///< with zeros
    index_t allocations = 0;  ///< of memory from the device
    index_t frees = 0;        ///< of memory; each is a wait as well, not counted above

    /// What was asked for since an earlier moment.
    friend constexpr Counts operator-(Counts const& now, Counts const& then) {
        return {now.launches - then.launches, now.kernels - then.kernels,         now.waits - then.waits,
                now.uploads - then.uploads,   now.downloads - then.downloads,     now.copies - then.copies,
                now.fills - then.fills,       now.allocations - then.allocations, now.frees - then.frees};
    }
};

/// What a loop body or a kernel may take: all of it travels as a parameter of the device.
inline constexpr std::size_t kMostBodyBytes = 4096;

/// The operations that have kernels of their own (compute.hpp); the others are their loops.
using Kernels = OperationList<ops::Matmul,             //
                              ops::GroupedMatmulNt,    //
                              ops::GroupedMatmulNn,    //
                              ops::GroupedMatmulTn,    //
                              ops::Attention,          //
                              ops::AttentionBackward,  //
                              ops::CrossEntropy,       //
                              ops::CrossEntropyLoss,   //
                              ops::RmsNorm,            //
                              ops::RmsNormBackward,    //
                              ops::SwiGLU,             //
                              ops::SwiGLUBackward,     //
                              ops::AdamW,              //
                              ops::SumOfSquares,       //
                              ops::AddSum,             //
                              ops::ConvertSet>;

/// Memory and a queue. Everything but allocate, download and wait may return before it is done; all of it happens in the
/// order in which it was asked for. Sizes are positive.
template <class D>
concept Device = requires(D& device, std::byte* memory, void* to, void const* from, index_t bytes,
                          index_t count) {
    typename D::Options;
    {
        device.allocate(bytes)
        } -> std::same_as<std::byte*>;  // 64-byte aligned; throws Error when there is none
    { device.deallocate(memory, bytes) }
    noexcept;                                            // when the queue is empty
    device.upload(to, from, bytes);                      // `from` may change as soon as it returns
    device.download(to, from, bytes);                    // returns when the data is there
    device.copy(to, from, bytes);                        // within the device; may overlap
    device.fill_zero(to, bytes);                         //
    device.launch(count, detail::LoopBody{});            // body(i) for every i in [0, count), in any order
    device.launch_blocks(count, detail::BlockKernel{});  // that many blocks of a kernel (kernels/block.hpp)
    device.wait();                                       // until the queue is empty
};

}  // namespace gpu

/// Computes on a device with memory and a queue of its own. Nothing but copying to the host, synchronize and giving
/// memory back waits for it.
///
/// Operations are loops, one call of a body per thread of the device, or, those listed in Own, kernels whose threads work
/// together. A body or kernel is copied to the device: it is trivially copyable, at most 4096 bytes, and everything it points
/// to is memory of the device.
template <gpu::Device D, class Own = gpu::Kernels>
class Gpu {
public:
    using own = Own;
    using Options = typename D::Options;

    /// Errors:    Error if the device cannot be had
    explicit Gpu(Options const& options = {}) : device_(options), scratch_(*this) {}
    Gpu(Gpu const&) = delete;
    Gpu& operator=(Gpu const&) = delete;

    D& device() { return device_; }
    /// Since construction; the difference of two tells what a step took.
    gpu::Counts const& counts() const { return counts_; }
    /// Memory for temporaries inside one operation.
    Arena<Gpu>& scratch() { return scratch_; }

    /// Errors:    Error if the device has not that much memory left
    std::byte* allocate(index_t bytes) {
        expects(bytes > 0, "Gpu::allocate: the size is ", bytes, " bytes");
        auto* const memory = device_.allocate(bytes);
        ++counts_.allocations;
        return memory;
    }
    /// Waits for the device.
    void deallocate(std::byte* memory, index_t bytes) noexcept {
        ++counts_.frees;
        device_.deallocate(memory, bytes);
    }

    /// `from` may change as soon as this returns.
    void copy_from_host(void* to, void const* from, index_t bytes) {
        if (some("copy_from_host", bytes)) {
            ++counts_.uploads;
            device_.upload(to, from, bytes);
        }
    }
    /// Waits for the device.
    void copy_to_host(void* to, void const* from, index_t bytes) {
        if (some("copy_to_host", bytes)) {
            ++counts_.downloads;
            ++counts_.waits;
            device_.download(to, from, bytes);
        }
    }
    /// Within the device; the two may overlap.
    void copy(void* to, void const* from, index_t bytes) {
        if (some("copy", bytes)) {
            ++counts_.copies;
            device_.copy(to, from, bytes);
        }
    }
    void fill_zero(void* to, index_t bytes) {
        if (some("fill_zero", bytes)) {
            ++counts_.fills;
            device_.fill_zero(to, bytes);
        }
    }
    /// Waits for the device.
    void synchronize() {
        ++counts_.waits;
        device_.wait();
    }

    /// f(i) for every i in [0, count), in any order (see concept Loops).
    ///
    /// Errors:    Error if count is negative
    template <class F>
    void for_each(index_t count, index_t, F const& f) {
        static_assert(std::is_trivially_copyable_v<F>,
                      "Gpu::for_each: a body is copied to the device byte by byte, so it must be trivially "
                      "copyable");
        static_assert(sizeof(F) <= gpu::kMostBodyBytes,
                      "Gpu::for_each: a body is a kernel's parameter, so it must not exceed 4096 bytes");
        expects(count >= 0, "Gpu::for_each: the number of calls is ", count);
        if (count > 0) {
            ++counts_.launches;
            device_.launch(count, f);
        }
    }

    /// kernel(block) for every thread of every block of the grid (see kernels/block.hpp).
    ///
    /// Errors:    Error if the number of blocks is negative, or more than a grid has
    template <class K>
    void for_blocks(index_t blocks, K const& kernel) {
        static_assert(std::is_trivially_copyable_v<K> && sizeof(K) <= gpu::kMostBodyBytes,
                      "Gpu::for_blocks: a kernel is copied to the device byte by byte, so it must be "
                      "trivially copyable, "
                      "and not exceed 4096 bytes");
        expects(blocks >= 0, "Gpu::for_blocks: the number of blocks is ", blocks);
        if (blocks > 0) {
            ++counts_.launches;
            ++counts_.kernels;
            device_.launch_blocks(blocks, kernel);
        }
    }

private:
    static bool some(char const* what, index_t bytes) {
        expects(bytes >= 0, "Gpu::", what, ": the size is ", bytes, " bytes");
        return bytes > 0;
    }

    D device_;
    gpu::Counts counts_;
    Arena<Gpu> scratch_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
