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

template <int Count, class Attention, class FeedForward>
struct blocks_rules {
    static constexpr bool some = Count > 0;
    static constexpr bool attention = AttentionLayer<Attention>;
    static constexpr bool spec = [] {
        if constexpr (attention) {
            return Bindable<FeedForward, Attention::width>;
        } else {
            return true;
        }
    }();
    static constexpr bool layer = [] {
        if constexpr (attention && spec) {
            return Spec<FeedForward, Attention::width> || std::is_base_of_v<Refused, FeedForward> ||
                   std::is_base_of_v<Refused, Attention>;
        } else {
            return true;
        }
    }();
    static constexpr bool ok = some && attention && spec && layer;
};

}  // namespace detail

/// Count equal decoder blocks: x + attention(norm(x)), then the same with the feed-forward network. Attention is a
/// layer; FeedForward is a spec and takes its width from the attention.
template <int Count, class Attention, class FeedForward>
struct Blocks : std::conditional_t<detail::blocks_rules<Count, Attention, FeedForward>::ok,
                                   detail::blocks_spec<Count, Attention, FeedForward>,
                                   detail::blocks_spec<1, detail::Refused, detail::Refused>> {
private:
    using rules = detail::blocks_rules<Count, Attention, FeedForward>;
    static_assert(rules::some, "Blocks<Count, Attention, FeedForward>: Count must be positive");
    static_assert(
        rules::attention,
        "Blocks<Count, Attention, FeedForward>: first the attention, a layer with a cache such as MLA<…>, "
        "then the feed-forward network");
    static_assert(
        rules::spec,
        "Blocks<Count, Attention, FeedForward>: FeedForward must be a spec such as SwiGLU<Hidden>: a type "
        "with a template bind<Dim>, which is the layer of that width");
    static_assert(
        rules::layer,
        "Blocks<Count, Attention, FeedForward>: FeedForward::bind<Dim> must be a Layer: it has width, which "
        "is Dim, Params, Saved and visit, as deepseek/core/layer.hpp says");
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
