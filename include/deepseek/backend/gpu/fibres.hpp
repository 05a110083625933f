// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_FIBRES_HPP
#define DEEPSEEK_BACKEND_GPU_FIBRES_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#if defined(__has_feature)
#define DEEPSEEK_HAS_FEATURE(name) __has_feature(name)
#else
#define DEEPSEEK_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || DEEPSEEK_HAS_FEATURE(address_sanitizer)
#define DEEPSEEK_FIBRES_ASAN 1
#include <sanitizer/common_interface_defs.h>
#else
#define DEEPSEEK_FIBRES_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || DEEPSEEK_HAS_FEATURE(thread_sanitizer)
#define DEEPSEEK_FIBRES_TSAN 1
// What changes stacks enters on one and leaves on another, of which the sanitizer keeps account.
#define DEEPSEEK_FIBRES_SWITCH [[gnu::no_sanitize("thread"), gnu::noinline]]
#include <sanitizer/tsan_interface.h>
#else
#define DEEPSEEK_FIBRES_TSAN 0
#define DEEPSEEK_FIBRES_SWITCH [[gnu::noinline]]
#endif

namespace deepseek::inline DEEPSEEK_ABI::gpu {

/// Calls of one function that take turns on one thread of the host, each on a stack of its own: run(i) goes on with call i
/// until it yields or returns. A call costs no more than a few instructions to interrupt, so that thousands may wait for
/// each other.
class Fibres {
public:
    using Entry = void (*)(void* argument, int number);

    Fibres() = default;
    Fibres(Fibres const&) = delete;
    Fibres& operator=(Fibres const&) = delete;
    ~Fibres() {
        forget_calls();
        if (stacks_ != nullptr) {
            ::munmap(stacks_, all_bytes());
        }
    }

    /// Makes the next run of each of the calls 0 .. count - 1 begin entry(argument, number), which must not return but
    /// yield. Nothing of what the calls before it left on their stacks is destroyed.
    ///
    /// Errors:    Error if the system has no memory for stacks
    void start(int count, Entry entry, void* argument) {
        forget_calls();
        if (count > static_cast<int>(fibres_.size())) {
            take_stacks(count);
        }
        entry_ = entry;
        argument_ = argument;
        for (auto& fibre : fibres_) {
            fibre.started = false;
        }
    }

    /// From outside of the calls.
    DEEPSEEK_FIBRES_SWITCH void run(int number) {
        running_ = number;
        auto& fibre = fibres_[static_cast<std::size_t>(number)];
        announce(&outer_fake_stack_, stack_of(number), kStack, fibre.tsan);
        leave(fibre);
        arrived(outer_fake_stack_, nullptr, nullptr);
    }

    /// From within a call: back to behind its run.
    DEEPSEEK_FIBRES_SWITCH void yield() {
        auto& fibre = fibres_[static_cast<std::size_t>(running_)];
        announce(&fibre.fake_stack, outer_stack_, outer_bytes_, outer_tsan_);
        come_back(fibre);
        arrived(fibre.fake_stack, &outer_stack_, &outer_bytes_);
    }

private:
    static constexpr std::size_t kStack = std::size_t{256} << 10;
    static constexpr int kJumpWords = 5;  // as the compilers say of their jumps

    struct Fibre {
        void* jump[kJumpWords];  // where it yielded
        ucontext_t begin;
        bool started;
        void* fake_stack;
        void* tsan;
    };

    // The compiler's own jumps: those of the C library refuse to leave for another stack where it is fortified.
    DEEPSEEK_FIBRES_SWITCH void leave(Fibre& fibre) {
        if (__builtin_setjmp(outer_jump_) == 0) {
            jump(fibre);
        }
    }
    [[noreturn]] DEEPSEEK_FIBRES_SWITCH void jump(Fibre& fibre) {
        if (fibre.started) {
            __builtin_longjmp(fibre.jump, 1);
        }
        begin(fibre);
    }
    DEEPSEEK_FIBRES_SWITCH void come_back(Fibre& fibre) {
        if (__builtin_setjmp(fibre.jump) == 0) {
            jump_out();
        }
    }
    [[noreturn]] DEEPSEEK_FIBRES_SWITCH void jump_out() { __builtin_longjmp(outer_jump_, 1); }

    [[noreturn]] DEEPSEEK_FIBRES_SWITCH void begin(Fibre& fibre) {
        fibre.started = true;
        ::getcontext(&fibre.begin);
        fibre.begin.uc_stack.ss_sp = stack_of(running_);
        fibre.begin.uc_stack.ss_size = kStack;
        fibre.begin.uc_link = nullptr;
        auto const self = reinterpret_cast<std::uintptr_t>(this);  // arguments of a context are ints
        ::makecontext(&fibre.begin, reinterpret_cast<void (*)()>(&Fibres::enter), 2,
                      static_cast<unsigned>(self >> 32U), static_cast<unsigned>(self));
        ::setcontext(&fibre.begin);
        __builtin_unreachable();
    }
    DEEPSEEK_FIBRES_SWITCH static void enter(unsigned high, unsigned low) {
        auto* const self = reinterpret_cast<Fibres*>(std::uintptr_t{high} << 32U | low);
        self->arrived(nullptr, &self->outer_stack_, &self->outer_bytes_);
        self->entry_(self->argument_, self->running_);
    }

    std::byte* stack_of(int number) {
        return stacks_ + static_cast<std::size_t>(number) * (kStack + page_) + page_;
    }
    std::size_t all_bytes() const { return fibres_.size() * (kStack + page_); }

    // Stacks with a page below each that faults when one overflows.
    void take_stacks(int count) {
        if (stacks_ != nullptr) {
            ::munmap(stacks_, all_bytes());
            stacks_ = nullptr;
        }
        page_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        fibres_.assign(static_cast<std::size_t>(count), Fibre{});
        auto* const memory = ::mmap(nullptr, all_bytes(), PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            fibres_.clear();
            detail::fail<Error>(
                {"emulated device: the system has no memory for the stacks of ", count, " threads"});
        }
        stacks_ = static_cast<std::byte*>(memory);
        for (int number = 0; number < count; ++number) {
            ::mprotect(stack_of(number) - page_, page_, PROT_NONE);
        }
    }

    // What the sanitizers have to hear of a change of stacks, before and behind it.
    DEEPSEEK_FIBRES_SWITCH void announce([[maybe_unused]] void** fake_stack,
                                         [[maybe_unused]] void const* stack,
                                         [[maybe_unused]] std::size_t bytes, [[maybe_unused]] void*& tsan) {
#if DEEPSEEK_FIBRES_ASAN
        __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#endif
#if DEEPSEEK_FIBRES_TSAN
        if (&tsan != &outer_tsan_) {
            outer_tsan_ = __tsan_get_current_fiber();
        }
        if (tsan == nullptr) {
            tsan = __tsan_create_fiber(0);
        }
        __tsan_switch_to_fiber(tsan, 0);
#endif
    }
    DEEPSEEK_FIBRES_SWITCH void arrived([[maybe_unused]] void* fake_stack,
                                        [[maybe_unused]] void const** stack,
                                        [[maybe_unused]] std::size_t* bytes) {
#if DEEPSEEK_FIBRES_ASAN
        __sanitizer_finish_switch_fiber(fake_stack, stack, bytes);
#endif
    }
    void forget_calls() {
#if DEEPSEEK_FIBRES_TSAN
        for (auto& fibre : fibres_) {
            if (fibre.tsan != nullptr) {
                __tsan_destroy_fiber(fibre.tsan);
                fibre.tsan = nullptr;
            }
        }
#endif
    }

    Entry entry_ = nullptr;
    void* argument_ = nullptr;
    std::vector<Fibre> fibres_;
    std::byte* stacks_ = nullptr;
    std::size_t page_ = 0;
    int running_ = 0;

    void* outer_jump_[kJumpWords] = {};
    void const* outer_stack_ = nullptr;
    std::size_t outer_bytes_ = 0;
    void* outer_fake_stack_ = nullptr;
    void* outer_tsan_ = nullptr;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::gpu

#undef DEEPSEEK_HAS_FEATURE
#undef DEEPSEEK_FIBRES_ASAN
#undef DEEPSEEK_FIBRES_TSAN
#undef DEEPSEEK_FIBRES_SWITCH

#endif
