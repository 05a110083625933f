// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_EMULATED_DEVICE_HPP
#define DEEPSEEK_BACKEND_GPU_EMULATED_DEVICE_HPP

#include <deepseek/backend/gpu/backend.hpp>
#include <deepseek/backend/gpu/emulated_block.hpp>
#include <deepseek/backend/gpu/guarded_memory.hpp>
#include <deepseek/backend/gpu/work_queue.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI {

namespace gpu {

/// Calls of a body with 0 .. count - 1: from `first` on, `step` further each time, around the end.
template <class F>
struct Loop {
    F body;
    index_t count;
    index_t first;
    index_t step;  // has no divisor with count

    void operator()(std::byte const*) const {
        auto at = first;
        for (index_t call = 0; call < count; ++call) {
            body(at);
            at += step;
            at -= at >= count ? count : 0;
        }
    }
};

/// One call is one block of a kernel.
template <class K>
struct RunBlock {
    K kernel;
    EmulatedThreads* threads;
    Order order;
    RandomKey random;

    void operator()(index_t block) const {
        threads->run(kernel, block, order, random.fork(static_cast<std::uint64_t>(block)));
    }
};

struct CopyIn {
    void* to;
    std::size_t bytes;
    void operator()(std::byte const* data) const { std::memcpy(to, data, bytes); }
};

struct CopyWithin {
    void* to;
    void const* from;
    std::size_t bytes;
    void operator()(std::byte const*) const { std::memmove(to, from, bytes); }
};

struct FillZero {
    void* to;
    std::size_t bytes;
    void operator()(std::byte const*) const { std::memset(to, 0, bytes); }
};

}  // namespace gpu

/// A GPU as far as a program can tell, played by the host: its memory faults where the host touches it, and it works when
/// the host waits for it and not before. What a program that is not written for a device does wrong shows here as a fault,
/// a NaN or an Error, without one.
///
/// What does not show: a body that reads memory of the host which is still there when it runs.
class EmulatedDevice {
public:
    struct Options {
        index_t memory = index_t{16} << 30;  ///< bytes
        gpu::Order order = gpu::Order::forwards;
        Seed seed{1};  ///< of scattered orders
    };

    /// Errors:    Error if there is no memory to be
    explicit EmulatedDevice(Options const& options)
        : memory_(options.memory), order_(options.order), random_(options.seed) {
        expects(options.memory > 0, "emulated device: a memory of ", options.memory, " bytes");
    }

    static constexpr char const* name() { return "emulated device"; }

    std::byte* allocate(index_t bytes) { return memory_.allocate(bytes); }
    /// An exception from the work that is done first is kept for the next wait.
    void deallocate(std::byte* memory, index_t) noexcept {
        work();
        memory_.deallocate(memory);
    }

    void upload(void* to, void const* from, index_t bytes) {
        check(to, bytes, "copy_from_host writes to");
        check_host(from, "copy_from_host reads from");
        queue_.push(gpu::CopyIn{to, static_cast<std::size_t>(bytes)}, from, bytes);
        work_if_long();
    }
    void download(void* to, void const* from, index_t bytes) {
        check_host(to, "copy_to_host writes to");
        check(from, bytes, "copy_to_host reads from");
        queue_.push(gpu::CopyWithin{to, from, static_cast<std::size_t>(bytes)});
        wait();
    }
    void copy(void* to, void const* from, index_t bytes) {
        check(to, bytes, "copy writes to");
        check(from, bytes, "copy reads from");
        queue_.push(gpu::CopyWithin{to, from, static_cast<std::size_t>(bytes)});
    }
    void fill_zero(void* to, index_t bytes) {
        check(to, bytes, "fill_zero writes to");
        queue_.push(gpu::FillZero{to, static_cast<std::size_t>(bytes)});
    }

    template <class F>
    void launch(index_t count, F const& body) {
        auto const [first, step] = start_of(count);
        queue_.push(gpu::Loop<F>{body, count, first, step});
        work_if_long();
    }
    template <class K>
    void launch_blocks(index_t blocks, K const& kernel) {
        launch(blocks, gpu::RunBlock<K>{kernel, &threads_, order_, random_.fork(drawn_++)});
    }

    /// Errors:    what the work threw, of which nothing behind that was done
    void wait() {
        work();
        if (failure_ != nullptr) {
            std::rethrow_exception(std::exchange(failure_, nullptr));
        }
    }

private:
    static constexpr index_t kMostQueued = index_t{64} << 20;  // bytes

    // A device may begin at any time; this one does where the queue would grow without end.
    void work_if_long() {
        if (queue_.bytes() > kMostQueued) {
            work();
        }
    }

    void work() noexcept {
        if (queue_.empty()) {
            return;
        }
        try {
            memory_.open();
            queue_.run();
        } catch (...) {
            keep_failure();
        }
        try {
            memory_.close();
        } catch (...) {
            keep_failure();
        }
    }
    void keep_failure() noexcept {
        if (failure_ == nullptr) {
            failure_ = std::current_exception();
        }
    }

    void check(void const* memory, index_t bytes, char const* what) const {
        expects(memory_.contains(memory, bytes), "emulated device: ", what, " ", bytes,
                " bytes that are not in one block of its memory");
    }
    void check_host(void const* memory, char const* what) const {
        expects(memory != nullptr && !memory_.contains(memory, 1), "emulated device: ", what,
                memory == nullptr ? " a null pointer" : " its memory, not the host's");
    }

    std::pair<index_t, index_t> start_of(index_t count) {
        switch (order_) {
            case gpu::Order::forwards:
                return {0, 1};
            case gpu::Order::backwards:
                return {count - 1, count - 1};
            case gpu::Order::scattered:
                break;
        }
        auto const below_count = [&] {
            return static_cast<index_t>(random_.bits(drawn_++) % static_cast<std::uint64_t>(count));
        };
        auto const first = below_count();
        auto step = below_count();
        while (greatest_divisor(step, count) != 1) {
            ++step;
        }
        return {first, step % count};
    }
    static index_t greatest_divisor(index_t a, index_t b) {
        while (b != 0) {
            a = std::exchange(b, a % b);
        }
        return a;
    }

    gpu::GuardedMemory memory_;
    gpu::WorkQueue queue_;
    gpu::EmulatedThreads threads_;
    gpu::Order order_;
    RandomKey random_;
    std::uint64_t drawn_ = 0;
    std::exception_ptr failure_;
};

static_assert(gpu::Device<EmulatedDevice>);

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
