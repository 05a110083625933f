// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_EMULATED_BLOCK_HPP
#define DEEPSEEK_BACKEND_GPU_EMULATED_BLOCK_HPP

#include <deepseek/backend/gpu/fibres.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/kernels/block.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::gpu {

/// In which order a loop calls its body, and the threads of a block get their turns.
enum class Order : std::uint8_t {
    forwards,
    backwards,
    scattered,  ///< every launch another one, drawn from the seed
};

/// The threads of one block after the other, and the shared memory they meet in. A thread runs until it waits for others,
/// so what it does not wait for has not happened yet, or has happened long ago, depending on the order.
class EmulatedThreads {
public:
    /// Calls body(argument, thread) for every thread of a block.
    ///
    /// Errors:    what a thread throws; Error if threads wait for one that does not come, or if the block wrote beside its
    ///            shared memory
    template <class K>
    void run(K const& kernel, index_t block, Order order, RandomKey random);

    // For the threads.
    void sync() { wait(State::at_block, block_waiting_); }
    void sync_warp() { wait(State::at_warp, warps_[warp_of(thread_)].waiting); }
    /// What a thread of this thread's warp put here, where all do. Valid until the next but one exchange.
    std::byte* exchange(void const* value, std::size_t bytes) {
        auto& warp = warps_[warp_of(thread_)];
        auto* const slots = warp.slots[exchanges_[static_cast<std::size_t>(thread_)]++ % 2];
        std::memcpy(slots + static_cast<std::size_t>(thread_ % kernels::kWarp) * kSlot, value, bytes);
        sync_warp();
        return slots;
    }
    static constexpr std::size_t kSlot = 16;  // bytes

private:
    enum class State : std::uint8_t { ready, at_warp, at_block, done };
    struct Warp {
        int ready;
        int waiting;
        std::byte slots[2][kernels::kWarp * kSlot];
    };
    static constexpr std::size_t kGuard = 256;  // bytes on both sides of shared memory
    static constexpr std::byte kGuardByte{0xA5};

    static std::size_t warp_of(int thread) { return static_cast<std::size_t>(thread / kernels::kWarp); }

    std::byte* poisoned_shared(std::size_t bytes) {
        shared_.assign(2 * kGuard + bytes, std::byte{0xFF});  // NaN in every element type
        std::fill_n(shared_.begin(), kGuard, kGuardByte);
        std::fill_n(shared_.end() - kGuard, kGuard, kGuardByte);
        return shared_.data() + kGuard;
    }
    bool guards_untouched() const {
        auto const untouched = [](std::byte byte) { return byte == kGuardByte; };
        return std::all_of(shared_.begin(), shared_.begin() + kGuard, untouched) &&
               std::all_of(shared_.end() - kGuard, shared_.end(), untouched);
    }

    void run_all(int threads, index_t block, Order order, RandomKey random) {
        auto const count = static_cast<std::size_t>(threads);
        states_.assign(count, State::ready);
        exchanges_.assign(count, 0);
        warps_.resize(count / kernels::kWarp);
        for (auto& warp : warps_) {
            warp.ready = kernels::kWarp;
            warp.waiting = 0;
        }
        block_waiting_ = 0;
        std::uint64_t drawn = 0;
        for (int left = threads; left > 0;) {
            auto const draw = order == Order::scattered ? random.bits(drawn++) : 0;
            auto const warp = ready_warp(order, draw);
            if (warp == warps_.size()) {
                release_block(threads, block);
            } else {
                left -= run_warp(warp, order, static_cast<int>(draw >> 40U));
            }
        }
    }

    // The number of warps where none is ready.
    std::size_t ready_warp(Order order, std::uint64_t draw) const {
        auto const count = warps_.size();
        for (std::size_t i = 0; i < count; ++i) {
            auto const warp = order == Order::backwards ? count - 1 - i : (i + draw % count) % count;
            if (warps_[warp].ready > 0) {
                return warp;
            }
        }
        return count;
    }

    // Returns how many of its threads ended.
    int run_warp(std::size_t number, Order order, int draw) {
        auto& warp = warps_[number];
        int ended = 0;
        for (int i = 0; i < kernels::kWarp; ++i) {
            auto const lane = order == Order::forwards    ? i
                              : order == Order::backwards ? kernels::kWarp - 1 - i
                                                          : i ^ (draw % kernels::kWarp);
            thread_ = static_cast<int>(number) * kernels::kWarp + lane;
            auto const& state = states_[static_cast<std::size_t>(thread_)];
            if (state != State::ready) {
                continue;
            }
            --warp.ready;
            fibres_.run(thread_);
            if (failure_ != nullptr) {
                std::rethrow_exception(std::exchange(failure_, nullptr));
            }
            ended += state == State::done ? 1 : 0;
        }
        if (warp.waiting == kernels::kWarp) {
            release(number * kernels::kWarp, kernels::kWarp);
            warp.ready = kernels::kWarp;
            warp.waiting = 0;
        }
        return ended;
    }

    void release(std::size_t first, std::size_t count) {
        std::fill_n(states_.begin() + static_cast<std::ptrdiff_t>(first), count, State::ready);
    }
    void release_block(int threads, index_t block) {
        if (block_waiting_ != threads) {
            auto const missing = std::find_if(states_.begin(), states_.end(),
                                              [&](State state) { return state != waiting_state(); });
            detail::fail<Error>({"emulated device: threads of block ", block, " wait ",
                                 block_waiting_ > 0 ? "at a barrier" : "for their warp", ", to which thread ",
                                 missing - states_.begin(), " does not come"});
        }
        release(0, states_.size());
        for (auto& warp : warps_) {
            warp.ready = kernels::kWarp;
        }
        block_waiting_ = 0;
    }
    State waiting_state() const { return block_waiting_ > 0 ? State::at_block : State::at_warp; }

    void wait(State state, int& waiting) {
        states_[static_cast<std::size_t>(thread_)] = state;
        ++waiting;
        fibres_.yield();
    }

    // A fibre's whole life: the same thread of one block after the other.
    template <class K>
    static void live(void* argument, int thread);

    Fibres fibres_;
    Fibres::Entry fibres_are_ = nullptr;  // threads of which kernel
    bool whole_ = false;                  // all of them ended in order

    void const* kernel_ = nullptr;
    index_t block_ = 0;
    std::vector<std::byte> shared_;
    void* shared_begin_ = nullptr;
    int thread_ = 0;
    std::vector<State> states_;
    std::vector<unsigned> exchanges_;
    std::vector<Warp> warps_;
    int block_waiting_ = 0;
    std::exception_ptr failure_;
};

/// What a kernel sees of the emulated device; see kernels/block.hpp. Its functions are compiled for a GPU, too, because
/// kernels are, and do nothing there.
template <class K>
class EmulatedBlock {
public:
    static constexpr int kThreads = K::kThreads;

    EmulatedBlock(EmulatedThreads& threads, typename K::Shared& shared, index_t index, int thread)
        : threads_(&threads), shared_(&shared), index_(index), thread_(thread) {}

    DEEPSEEK_HD index_t index() const { return index_; }
    DEEPSEEK_HD int thread() const { return thread_; }
    DEEPSEEK_HD typename K::Shared& shared() const { return *shared_; }
    DEEPSEEK_HD void sync() const {
#if !defined(__CUDA_ARCH__)
        threads_->sync();
#endif
    }
    DEEPSEEK_HD void sync_warp() const {
#if !defined(__CUDA_ARCH__)
        threads_->sync_warp();
#endif
    }
    template <class T>
    DEEPSEEK_HD T shuffle_xor(T value, int mask) const {
        static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= EmulatedThreads::kSlot);
#if !defined(__CUDA_ARCH__)
        auto const lane = static_cast<std::size_t>((thread_ ^ mask) % kernels::kWarp);
        std::memcpy(&value, threads_->exchange(&value, sizeof value) + lane * EmulatedThreads::kSlot,
                    sizeof value);
#endif
        return value;
    }

private:
    EmulatedThreads* threads_;
    typename K::Shared* shared_;
    index_t index_;
    int thread_;
};

template <class K>
void EmulatedThreads::live(void* argument, int thread) {
    auto* const self = static_cast<EmulatedThreads*>(argument);
    for (;;) {
        try {
            EmulatedBlock<K> block(*self, *static_cast<typename K::Shared*>(self->shared_begin_),
                                   self->block_, thread);
            (*static_cast<K const*>(self->kernel_))(block);
        } catch (...) {
            self->failure_ = std::current_exception();
        }
        self->states_[static_cast<std::size_t>(thread)] = State::done;
        self->fibres_.yield();
    }
}

template <class K>
void EmulatedThreads::run(K const& kernel, index_t block, Order order, RandomKey random) {
    static_assert(K::kThreads % kernels::kWarp == 0);
    static_assert(std::is_trivially_destructible_v<typename K::Shared>);
    if (fibres_are_ != &live<K> || !whole_) {
        fibres_.start(K::kThreads, &live<K>, this);
        fibres_are_ = &live<K>;
    }
    whole_ = false;
    kernel_ = &kernel;
    block_ = block;
    shared_begin_ = poisoned_shared(sizeof(typename K::Shared));
    run_all(K::kThreads, block, order, random);
    whole_ = true;
    expects(guards_untouched(), "emulated device: block ", block, " wrote beside its shared memory");
}

}  // namespace deepseek::inline DEEPSEEK_ABI::gpu

#endif
