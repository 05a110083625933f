// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_WORKSPACE_HPP
#define DEEPSEEK_BACKEND_CPU_WORKSPACE_HPP

#include <deepseek/core/index.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

/// Scratch memory of one worker, taken and given back like a stack. It keeps what it once allocated, so a task that
/// takes the same amounts again allocates nothing.
///
/// Errors:    std::bad_alloc; Error if a size overflows
class Workspace {
public:
    static constexpr index_t kAlignment = 64;  // a cache line, and the widest vector
    /// The least it allocates. A tile of a product fits: how large the tiles of a mixture's products are depends on how
    /// many tokens each expert gets, and that must not decide whether a training step allocates.
    static constexpr index_t kSmallestBlock = index_t{1} << 20;

    Workspace() = default;
    /// Sets `grew` whenever it allocates.
    explicit Workspace(std::atomic<bool>& grew) : grew_(&grew) {}

    /// Gives back, when it ends, everything taken since it began. Scopes nest.
    class Scope {
    public:
        explicit Scope(Workspace& workspace)
            : workspace_(workspace), block_(workspace.block_), used_(workspace.used_) {}
        ~Scope() {
            workspace_.block_ = block_;
            workspace_.used_ = used_;
        }
        Scope(Scope const&) = delete;
        Scope& operator=(Scope const&) = delete;

        /// Uninitialised memory for `count` elements, aligned to kAlignment bytes, valid until the scope ends.
        template <class T>
        T* take(index_t count) {
            static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>,
                          "Workspace: elements are never constructed or destroyed");
            auto const bytes = checked_mul(count, static_cast<index_t>(sizeof(T)));
            return static_cast<T*>(static_cast<void*>(workspace_.take_bytes(bytes)));
        }

    private:
        Workspace& workspace_;
        std::size_t block_;
        index_t used_;
    };

    /// Bytes held, in use or not.
    index_t capacity() const {
        index_t bytes = 0;
        for (auto const& block : blocks_) {
            bytes += block.bytes;
        }
        return bytes;
    }

    /// Holds at least `bytes`, in one piece. Only while nothing is in use.
    void reserve(index_t bytes) {
        auto const together = std::max(bytes, capacity());
        if (together > 0 && (blocks_.size() > 1 || capacity() < together)) {
            blocks_.clear();
            add_block(together);
        }
    }

private:
    struct Free {
        void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{kAlignment}); }
    };
    struct Block {
        std::unique_ptr<std::byte, Free> data;
        index_t bytes;
    };

    std::byte* take_bytes(index_t count) {
        auto const bytes = round_up(std::max<index_t>(count, 1), kAlignment);
        if (block_ == 0 && used_ == 0 && blocks_.size() > 1) {
            reserve(bytes);  // one block from now on
        }
        while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].bytes) {
            ++block_;
            used_ = 0;
        }
        if (block_ == blocks_.size()) {
            add_block(std::max({bytes, capacity(), kSmallestBlock}));
        }
        used_ += bytes;
        return blocks_[block_].data.get() + (used_ - bytes);
    }

    void add_block(index_t bytes) {
        auto const size = static_cast<std::size_t>(bytes);
        std::unique_ptr<std::byte, Free> data{
            static_cast<std::byte*>(::operator new (size, std::align_val_t{kAlignment}))};
        blocks_.push_back({std::move(data), bytes});
        if (grew_ != nullptr) {
            grew_->store(true, std::memory_order_relaxed);
        }
    }

    std::atomic<bool>* grew_ = nullptr;
    std::vector<Block> blocks_;
    std::size_t block_ = 0;  // the block in use …
    index_t used_ = 0;       // … and how many of its bytes
};

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
