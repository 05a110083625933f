// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_WORKSPACE_HPP
#define DEEPSEEK_BACKEND_CPU_WORKSPACE_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <atomic>
#include <cstddef>
#include <new>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

/// Memory of this machine, for any thread; it remembers whether any was asked for.
class HostMemory {
public:
    /// Errors:    Error if the system has no memory left
    std::byte* allocate(index_t bytes) {
        auto* const memory = ::operator new(static_cast<std::size_t>(bytes), kAlignment, std::nothrow);
        expects(memory != nullptr, "Cpu: the system has no ", bytes, " bytes of memory left");
        asked_.store(true, std::memory_order_relaxed);
        return static_cast<std::byte*>(memory);
    }
    void deallocate(std::byte* memory, index_t) noexcept { ::operator delete(memory, kAlignment); }

    bool asked() const { return asked_.load(std::memory_order_relaxed); }
    void forget_asked() { asked_.store(false, std::memory_order_relaxed); }

private:
    static constexpr std::align_val_t kAlignment{64};  // a cache line, and the widest vector

    std::atomic<bool> asked_{false};
};

/// Scratch memory of one worker.
using Workspace = Arena<HostMemory>;

/// What every worker has from the start, in bytes. A tile of a product fits: how large the tiles of a mixture's products
/// are depends on how many tokens each expert gets, and that must not decide whether a training step allocates.
inline constexpr index_t kSmallestWorkspace = index_t{1} << 20;

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
