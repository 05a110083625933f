// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CONCEPT_HPP
#define DEEPSEEK_BACKEND_CONCEPT_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/index.hpp>

#include <concepts>
#include <cstddef>

// What a backend must have: memory, copies and a parallel loop. Every operation is defined as a loop in ops/reference/;
// those that a backend computes with code of its own it lists (see operations.hpp). meter.hpp is the smallest example.

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {
// As much of a backend as files need.
template <class B>
concept Stores = requires(B& be, std::byte* memory, void* to, void const* from, index_t bytes) {
    { be.allocate(bytes) } -> std::same_as<std::byte*>;
    be.deallocate(memory, bytes);
    be.copy_from_host(to, from, bytes);
    be.copy_to_host(to, from, bytes);
    be.fill_zero(to, bytes);
};
}  // namespace detail

/// Aligned memory, and an arena of it for temporaries inside one operation.
template <class B>
concept Allocates = requires(B& be, std::byte* memory, index_t bytes) {
    { be.allocate(bytes) } -> std::same_as<std::byte*>;  // 64-byte aligned; throws Error when there is none
    { be.deallocate(memory, bytes) }
    noexcept;
    { be.scratch() } -> std::same_as<Arena<B>&>;
};

/// Copies between the host's memory and the backend's, and within the latter.
template <class B>
concept Copies = requires(B& be, void* to, void const* from, index_t bytes) {
    be.copy_from_host(to, from, bytes);
    be.copy_to_host(to, from, bytes);  // waits until the data is there
    be.copy(to, from, bytes);
    be.fill_zero(to, bytes);
    be.synchronize();
};

namespace detail {
struct LoopBody {
    void operator()(index_t) const {}
};
}  // namespace detail

/// Calls f(i) for every i in [0, count), in any order and possibly at once. `cost` is a rough number of elements one
/// call touches: loops too small to be worth spreading stay on one thread.
template <class B>
concept Loops = requires(B& be, index_t count, index_t cost) {
    be.for_each(count, cost, detail::LoopBody{});
};

/// Where models run: the first argument of every function that computes.
template <class B>
concept Backend = Allocates<B> && Copies<B> && Loops<B>;

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
