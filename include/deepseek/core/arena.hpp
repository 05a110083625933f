// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_ARENA_HPP
#define DEEPSEEK_CORE_ARENA_HPP

#include <deepseek/core/buffer.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/slot.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI {

/// Bump allocation over buffers of backend B. A scope releases on exit what was taken inside it.
///
/// An arena grows by blocks while it learns how much a step takes; when it stands empty again it gives them back, and the
/// next time takes one block of just that size. From then on a step that takes no more allocates nothing, and nothing is
/// held that is not needed (but for the first 64 KiB).
template <class B>
class Arena {
public:
    explicit Arena(B& backend) : backend_(&backend) {}
    Arena(Arena const&) = delete;
    Arena& operator=(Arena const&) = delete;

    /// Releases on destruction everything taken since its construction. Scopes nest.
    class Scope {
    public:
        explicit Scope(Arena& arena)
            : arena_(&arena), block_(arena.block_), used_(arena.used_), taken_(arena.taken_) {}
        Scope(Scope const&) = delete;
        Scope& operator=(Scope const&) = delete;
        ~Scope() {
            arena_->block_ = block_;
            arena_->used_ = used_;
            arena_->taken_ = taken_;
            if (taken_ == 0 && arena_->blocks_.size() > 1) {
                arena_->give_back();
            }
        }

    private:
        Arena* arena_;
        std::size_t block_;
        index_t used_;
        index_t taken_;
    };

    [[nodiscard]] Scope scope() { return Scope{*this}; }

    /// Uninitialised memory for `count` elements, aligned to 64 bytes. Valid until the enclosing scope ends.
    ///
    /// Errors:    Error if the size overflows; what the backend throws when memory is short
    template <class T>
    T* take(index_t count) {
        static_assert(std::is_trivially_copyable_v<T>,
                      "Arena::take: elements are never constructed or destroyed");
        auto const bytes = round_up(checked_mul(count, sizeof(T)), kAlignment);
        while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].bytes()) {
            ++block_;
            used_ = 0;
        }
        if (block_ == blocks_.size()) {
            add_block(bytes);
        }
        auto* const start = blocks_[block_].data() + used_;
        used_ += bytes;
        taken_ += bytes;
        high_water_ = std::max(high_water_, taken_);
        return reinterpret_cast<T*>(start);
    }

    /// Uninitialised rows [count, C]; as take.
    template <class T, index_t C>
    Rows<T, C> rows(index_t count) {
        return {take<T>(checked_mul(count, C)), count, C};
    }

    /// Holds at least `bytes`, in one piece, from now on. Only while nothing is in use.
    ///
    /// Errors:    what the backend throws when memory is short
    void reserve(index_t bytes) {
        high_water_ = std::max(high_water_, bytes);
        if (blocks_.size() > 1 || capacity_ < high_water_) {
            give_back();
            add_block(high_water_);
        }
    }

    /// The most bytes ever in use at once, or reserved.
    index_t high_water() const { return high_water_; }
    /// Bytes held from the backend.
    index_t capacity() const { return capacity_; }
    /// Changes whenever memory is taken from the backend or given back. While it stays, what is taken in the same order
    /// from an empty arena has the same addresses: a recording of such a step may be played again.
    index_t generation() const { return generation_; }

private:
    static constexpr index_t kAlignment = 64;
    static constexpr index_t kFirstBlock = index_t{1} << 16;

    void add_block(index_t bytes) {
        // All that was ever needed where nothing is held; else an eighth more, so that little is held too much while
        // an arena learns, and soon enough is.
        auto const more = blocks_.empty() ? high_water_ : capacity_ / 8;
        blocks_.emplace_back(*backend_, std::max({bytes, more, kFirstBlock}));
        capacity_ += blocks_.back().bytes();
        ++generation_;
    }

    void give_back() noexcept {
        blocks_.clear();
        capacity_ = 0;
        ++generation_;
    }

    B* backend_;
    std::vector<Buffer<B>> blocks_;
    std::size_t block_ = 0;   // the block in use …
    index_t used_ = 0;        // … and how many of its bytes
    index_t taken_ = 0;       // bytes in use, in all blocks
    index_t high_water_ = 0;  // the most of them
    index_t capacity_ = 0;
    index_t generation_ = 0;
};

namespace detail {
// Converts to Rows of any width by taking them from an arena, so that brace initialisation of an aggregate of Rows
// fills every member in order, without a second list of the members.
template <class B>
struct TakeRows {
    Arena<B>* arena;
    index_t count;

    template <class T, index_t C>
    operator Rows<T, C>() const {
        return arena->template rows<T, C>(count);
    }
};

template <template <class> class Set, class T, class B, std::size_t... Member>
Set<Viewed<T>> take_set(Arena<B>& arena, index_t count, std::index_sequence<Member...>) {
    return {(static_cast<void>(Member), TakeRows<B>{&arena, count})...};
}
}  // namespace detail

/// A leaf layer's Saved or Cache with every member taken from the arena, `count` rows each.
template <template <class> class Set, class T, class B>
Set<Viewed<T>> take_set(Arena<B>& arena, index_t count) {
    if constexpr (std::is_empty_v<Set<OneByte>>) {
        return {};
    } else {
        return detail::take_set<Set, T>(arena, count, std::make_index_sequence<sizeof(Set<OneByte>)>{});
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
