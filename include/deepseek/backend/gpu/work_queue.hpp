// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_WORK_QUEUE_HPP
#define DEEPSEEK_BACKEND_GPU_WORK_QUEUE_HPP

#include <deepseek/core/index.hpp>

#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::gpu {

/// Function objects and their data, called later in the order they came. What was queued once fits again without an
/// allocation.
class WorkQueue {
public:
    bool empty() const { return memory_.empty(); }
    index_t bytes() const { return static_cast<index_t>(memory_.size()); }

    /// Queues work(data), data being a copy of `bytes` bytes.
    template <class F>
    void push(F const& work, void const* data = nullptr, index_t bytes = 0) {
        static_assert(std::is_trivially_copyable_v<F> && alignof(F) <= kAlignment);
        constexpr auto begin = static_cast<std::size_t>(round_up(sizeof(Header), kAlignment));
        constexpr auto data_begin = begin + static_cast<std::size_t>(round_up(sizeof(F), kAlignment));
        auto const at = memory_.size();
        auto const size = data_begin + static_cast<std::size_t>(round_up(bytes, kAlignment));
        memory_.resize(at + size);
        Header const header{size, [](std::byte const* item) {
                                (*std::launder(reinterpret_cast<F const*>(item + begin)))(item + data_begin);
                            }};
        std::memcpy(memory_.data() + at, &header, sizeof header);
        std::memcpy(memory_.data() + at + begin, &work, sizeof work);
        if (bytes > 0) {
            std::memcpy(memory_.data() + at + data_begin, data, static_cast<std::size_t>(bytes));
        }
    }

    /// Calls everything; what is queued behind a call that throws is dropped.
    void run() {
        struct Clear {
            std::vector<std::byte>* memory;
            ~Clear() { memory->clear(); }
        } const clear{&memory_};
        for (std::size_t at = 0; at < memory_.size();) {
            Header header;
            std::memcpy(&header, memory_.data() + at, sizeof header);
            header.call(memory_.data() + at);
            at += header.size;
        }
    }

private:
    static constexpr std::size_t kAlignment = alignof(std::max_align_t);

    struct Header {
        std::size_t size;
        void (*call)(std::byte const* item);
    };

    std::vector<std::byte> memory_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::gpu

#endif
