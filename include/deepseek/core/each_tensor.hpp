// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_EACH_TENSOR_HPP
#define DEEPSEEK_CORE_EACH_TENSOR_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/slot.hpp>
#include <deepseek/core/visit.hpp>

#include <cstddef>
#include <type_traits>

// Walking the tensors of a model for what treats them all alike: initialising, saving, copying, optimizing. `visit`
// gives every tensor its own type; here the types are erased, so that the walk is compiled once per model and its
// bodies once per element type, however many tensors and shapes there are.

namespace deepseek::inline DEEPSEEK_ABI {

/// A tensor's extents and its place in the buffer of a set (see bind).
struct Place {
    index_t rows = 0;
    index_t cols = 0;
    bool wide = false;   ///< elements are accumulate_t<T> in a set of T
    index_t offset = 0;  ///< bytes from the start of the buffer

    constexpr index_t size() const { return rows * cols; }
};

namespace detail {

// What a walk calls for every tensor; `body` is the caller's function object.
using PlaceCall = void (*)(void const* body, Info const&, Place const&);

template <class L>
void walk_places(index_t element_bytes, index_t wide_bytes, void const* body, PlaceCall call) {
    described_params<L> described{};
    index_t offset = 0;
    L::visit(
        [&]<class Tensor>(Info const& info, Tensor const&) {
            constexpr bool is_wide = std::is_same_v<typename Tensor::element, wide>;
            static_assert(is_wide || std::is_void_v<typename Tensor::element>,
                          "each_tensor: a parameter has the set's own element type or is `wide`");
            call(body, info, {Tensor::rows, Tensor::cols, is_wide, offset});
            offset += round_up(Tensor::size * (is_wide ? wide_bytes : element_bytes), kTensorAlignment);
        },
        described);
}

}  // namespace detail

/// Calls f(info, place) for every tensor of a set of L with elements of T, in the order of `visit`. The info is valid
/// during the call.
template <class L, class T, class F>
void each_tensor(F const& f) {
    detail::walk_places<L>(sizeof(T), sizeof(accumulate_t<T>), &f,
                           [](void const* body, Info const& info, Place const& place) {
                               (*static_cast<F const*>(body))(info, place);
                           });
}

/// Calls f with a std::type_identity of the tensor's element type in a set of T.
template <class T, class F>
void with_element(Place const& place, F const& f) {
    if constexpr (std::is_same_v<T, accumulate_t<T>>) {
        f(std::type_identity<T>{});
    } else if (place.wide) {
        f(std::type_identity<accumulate_t<T>>{});
    } else {
        f(std::type_identity<T>{});
    }
}

/// The tensor's elements, E as with_element names it, in the buffer of a set.
template <class E>
E* elements_at(std::byte* set, Place const& place) {
    return reinterpret_cast<E*>(set + place.offset);
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
