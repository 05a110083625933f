// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_MODEL_BLOCKS_HPP
#define DEEPSEEK_MODEL_BLOCKS_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/model_options.hpp>
#include <deepseek/layers/block.hpp>

#include <array>
#include <cstddef>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

template <int Count, class Attention, class FeedForward>
struct blocks_spec {
    static constexpr bool is_blocks = true;
    static constexpr int count = Count;
    static constexpr index_t width = Attention::width;
    template <ModelOptions Options>
    using block = block_layer<Attention, typename FeedForward::template bind<Attention::width>, Options>;
};

}  // namespace detail

/// Count equal decoder blocks: x + attention(norm(x)), then the same with the feed-forward network. Attention is a
/// layer; FeedForward is a spec and takes its width from the attention.
template <int Count, class Attention, class FeedForward>
struct Blocks : std::conditional_t<(Count > 0), detail::blocks_spec<Count, Attention, FeedForward>,
                                   detail::blocks_spec<1, detail::Refused, detail::Refused>> {
    static_assert(Count > 0, "Blocks<Count, Attention, FeedForward>: Count must be positive");
};

namespace detail {

// Blocks of several kinds in order, the first of them the First-th block of the model. Equal blocks are an array and
// run in a loop: the compiler sees each kind once, whatever the depth.
template <index_t First, ModelOptions Options, class... Kinds>
struct Stack {
    static constexpr index_t size = 0;
    template <class Slot>
    struct Params {};
    template <class Slot>
    struct Saved {};
    template <class Slot>
    struct Cache {};
    static constexpr void each(auto&&, auto&...) {}
    static constexpr void each_reversed(auto&&, auto&...) {}
    template <class T, class B>
    static Saved<Viewed<T>> take_saved(Arena<B>&, index_t) {
        return {};
    }
    template <class T, class B>
    static Cache<Viewed<T>> take_cache(Arena<B>&, index_t) {
        return {};
    }
};

template <index_t First, ModelOptions Options, class Kind, class... Others>
struct Stack<First, Options, Kind, Others...> {
    using Block = typename Kind::template block<Options>;
    using Rest = Stack<First + Kind::count, Options, Others...>;
    static constexpr std::size_t count = Kind::count;
    static constexpr index_t size = Kind::count + Rest::size;

    template <class Slot>
    struct Params {
        std::array<typename Block::template Params<Slot>, count> equal;
        typename Rest::template Params<Slot> rest;
    };
    template <class Slot>
    struct Saved {
        std::array<typename Block::template Saved<Slot>, count> equal;
        typename Rest::template Saved<Slot> rest;
    };
    template <class Slot>
    struct Cache {
        std::array<typename Block::template Cache<Slot>, count> equal;
        typename Rest::template Cache<Slot> rest;
    };

    /// f(type_identity<block>, number of the block in the model, its element of each set …), in order.
    static constexpr void each(auto&& f, auto&... sets) {
        for (std::size_t i = 0; i < count; ++i) {
            f(std::type_identity<Block>{}, First + static_cast<index_t>(i), sets.equal[i]...);
        }
        Rest::each(f, sets.rest...);
    }
    static constexpr void each_reversed(auto&& f, auto&... sets) {
        Rest::each_reversed(f, sets.rest...);
        for (auto i = count; i-- > 0;) {
            f(std::type_identity<Block>{}, First + static_cast<index_t>(i), sets.equal[i]...);
        }
    }

    template <class T, class B>
    static Saved<Viewed<T>> take_saved(Arena<B>& arena, index_t rows) {
        Saved<Viewed<T>> saved;
        for (auto& block : saved.equal) {
            block = Block::template take_saved<T>(arena, rows);
        }
        saved.rest = Rest::template take_saved<T>(arena, rows);
        return saved;
    }
    template <class T, class B>
    static Cache<Viewed<T>> take_cache(Arena<B>& arena, index_t positions) {
        Cache<Viewed<T>> cache;
        for (auto& block : cache.equal) {
            block = take_set<Block::template Cache, T>(arena, positions);
        }
        cache.rest = Rest::template take_cache<T>(arena, positions);
        return cache;
    }
};

// The kind of the last blocks: what MTP modules are built like.
template <class First, class... Others>
struct last_kind {
    using type = typename last_kind<Others...>::type;
};
template <class Last>
struct last_kind<Last> {
    using type = Last;
};

}  // namespace detail

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
