// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_GUARDED_MEMORY_HPP
#define DEEPSEEK_BACKEND_GPU_GUARDED_MEMORY_HPP

#include <deepseek/backend/gpu/device_error.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::gpu {

/// Memory that nobody can touch but between open() and close(), and whose misuse shows: it starts as NaN in every element
/// type, a block ends where an inaccessible page begins, and what was given back is never handed out again, so that a use
/// of it faults.
class GuardedMemory {
public:
    /// Units:     bytes
    explicit GuardedMemory(index_t limit) : limit_(limit), page_(::sysconf(_SC_PAGESIZE)) {}
    GuardedMemory(GuardedMemory const&) = delete;
    GuardedMemory& operator=(GuardedMemory const&) = delete;
    ~GuardedMemory() {
        for (auto const& reserve : reserves_) {
            ::munmap(reserve.begin, static_cast<std::size_t>(reserve.bytes));
        }
    }

    /// A block that ends at a page it must not touch, to the granularity of its alignment of 64 bytes.
    ///
    /// Errors:    OutOfMemory if the limit does not suffice; Error if the system's memory does not
    std::byte* allocate(index_t bytes) {
        if (bytes > limit_ - taken_) {
            throw OutOfMemory("emulated device", bytes, taken_, limit_ - taken_, limit_);
        }
        auto const pages = round_up(bytes, page_);
        auto* const first = take_pages(pages);
        protect(first, pages, PROT_READ | PROT_WRITE);
        auto* const data = first + pages - round_up(bytes, kAlignment);
        std::memset(first, kNaN, static_cast<std::size_t>(pages));
        if (!is_open_) {
            protect(first, pages, PROT_NONE);
        }
        blocks_.push_back({first, pages, data, bytes});
        taken_ += bytes;
        return data;
    }

    void deallocate(std::byte* data) noexcept {
        auto const block = std::find_if(blocks_.begin(), blocks_.end(),
                                        [=](Block const& candidate) { return candidate.data == data; });
        if (block == blocks_.end()) {
            return;
        }
        // New pages in place of the old give these back to the system. Where it refuses, they stay, out of reach.
        if (map(block->first, block->pages, MAP_FIXED) == MAP_FAILED) {
            ::mprotect(block->first, static_cast<std::size_t>(block->pages), PROT_NONE);
        }
        taken_ -= block->bytes;
        blocks_.erase(block);
    }

    /// Errors:    Error if the system refuses
    void open() { protect_all(PROT_READ | PROT_WRITE); }
    /// Errors:    Error if the system refuses
    void close() { protect_all(PROT_NONE); }

    /// Whether all of [from, from + bytes) is in one block.
    bool contains(void const* from, index_t bytes) const {
        auto const* const begin = static_cast<std::byte const*>(from);
        return std::any_of(blocks_.begin(), blocks_.end(), [=](Block const& block) {
            return begin >= block.data && begin <= block.data + block.bytes &&
                   bytes <= block.data + block.bytes - begin;
        });
    }

private:
    static constexpr index_t kAlignment = 64;
    static constexpr int kNaN =
        0xFF;  // in every byte it is a NaN of double, float and bf16, and -1 of integers
    static constexpr index_t kReserve = index_t{16} << 30;

    struct Block {
        std::byte* first;  // of whole pages
        index_t pages;     // in bytes
        std::byte* data;
        index_t bytes;
    };
    struct Reserve {  // addresses, in use from the beginning on
        std::byte* begin;
        index_t bytes;
        index_t used;
    };

    static void* map(void* where, index_t bytes, int flags) {
#if defined(MAP_NORESERVE)
        flags |= MAP_NORESERVE;
#endif
        return ::mmap(where, static_cast<std::size_t>(bytes), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | flags,
                      -1, 0);
    }

    static void protect(std::byte* begin, index_t bytes, int protection) {
        if (::mprotect(begin, static_cast<std::size_t>(bytes), protection) != 0) {
            fail("the system does not change the protection of memory");
        }
    }

    [[noreturn]] static void fail(char const* what) {
        detail::fail<Error>({"emulated device: ", what, ": ", std::strerror(errno)});
    }

    // Addresses that were never used, between pages that never will be.
    std::byte* take_pages(index_t bytes) {
        auto const wanted = bytes + page_;
        if (reserves_.empty() || reserves_.back().bytes - reserves_.back().used < wanted) {
            auto const size = std::max(kReserve, wanted + page_);
            auto* const begin = map(nullptr, size, 0);
            if (begin == MAP_FAILED) {
                fail("the system has no addresses left");
            }
            reserves_.push_back({static_cast<std::byte*>(begin), size, page_});
        }
        auto& reserve = reserves_.back();
        auto* const first = reserve.begin + reserve.used;
        reserve.used += wanted;
        return first;
    }

    void protect_all(int protection) {
        for (auto const& block : blocks_) {
            protect(block.first, block.pages, protection);
        }
        is_open_ = protection != PROT_NONE;
    }

    index_t limit_;
    index_t page_;
    index_t taken_ = 0;
    bool is_open_ = false;
    std::vector<Block> blocks_;
    std::vector<Reserve> reserves_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::gpu

#endif
