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
/// An arena grows by blocks while it learns how much a step takes; when it next stands empty it replaces them by one
/// block of that size. From then on a step that takes no more allocates nothing.
template <class B>
class Arena {
public:
    explicit Arena(B& backend) : backend_(&backend) {}
    Arena(Arena const&) = delete;
    Arena& operator=(Arena const&) = delete;

    /// Releases on destruction everything taken since its construction. Scopes nest.
    class Scope {
    public:
        explicit Scope(Arena& arena) : arena_(&arena), block_(arena.block_), used_(arena.used_) {}
        Scope(Scope const&) = delete;
        Scope& operator=(Scope const&) = delete;
        ~Scope() {
            arena_->block_ = block_;
            arena_->used_ = used_;
        }

    private:
        Arena* arena_;
        std::size_t block_;
        index_t used_;
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
        if (block_ == 0 && used_ == 0 && blocks_.size() > 1) {
            merge_blocks();
        }
        while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].bytes()) {
            ++block_;
            used_ = 0;
        }
        if (block_ == blocks_.size()) {
            blocks_.emplace_back(*backend_, std::max(bytes, std::max(kFirstBlock, capacity())));
        }
        auto* const start = blocks_[block_].data() + used_;
        used_ += bytes;
        high_water_ = std::max(high_water_, bytes_before(block_) + used_);
        return reinterpret_cast<T*>(start);
    }

    /// Uninitialised rows [count, C]; as take.
    template <class T, index_t C>
    Rows<T, C> rows(index_t count) {
        return {take<T>(checked_mul(count, C)), count, C};
    }

    /// The most bytes ever in use at once.
    index_t high_water() const { return high_water_; }
    /// Bytes held from the backend.
    index_t capacity() const { return bytes_before(blocks_.size()); }

private:
    static constexpr index_t kAlignment = 64;
    static constexpr index_t kFirstBlock = index_t{1} << 16;

    index_t bytes_before(std::size_t block) const {
        index_t bytes = 0;
        for (std::size_t i = 0; i < block; ++i) {
            bytes += blocks_[i].bytes();
        }
        return bytes;
    }

    void merge_blocks() {
        auto const bytes = capacity();
        blocks_.clear();  // before the new block, so the peak is not twice the need
        blocks_.emplace_back(*backend_, bytes);
    }

    B* backend_;
    std::vector<Buffer<B>> blocks_;
    std::size_t block_ = 0;
    index_t used_ = 0;
    index_t high_water_ = 0;
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
