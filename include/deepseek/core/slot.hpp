// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_SLOT_HPP
#define DEEPSEEK_CORE_SLOT_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cstdint>
#include <type_traits>

// A layer writes its tensors down once, as members of a struct template over a *slot*. The slot says what each member
// is in one use: a fact (Described), a byte to count (OneByte), its bytes (Sized), a view (Viewed).

namespace deepseek::inline DEEPSEEK_ABI {

/// Tag for tensors that must not be rounded to the storage type: their elements are accumulate_t<T>.
struct wide {};

namespace detail {
// The element of a tensor in a set of T: T itself, accumulate_t<T> for `wide`, or the fixed type U. Constness of the
// set carries over.
template <class T, class U>
struct slot_element {
    using base = std::conditional_t<std::is_void_v<U>, std::remove_const_t<T>,
                                    std::conditional_t<std::is_same_v<U, wide>, accumulate_t<T>, U>>;
    using type = std::conditional_t<std::is_const_v<T>, base const, base>;
};
}  // namespace detail

/// Extents only; used to count and to lay out at compile time.
struct Described {
    template <class U, index_t R, index_t C>
    struct param_type {
        using element = U;  // void, wide or a fixed type
        static constexpr index_t rows = R;
        static constexpr index_t cols = C;
        static constexpr index_t size = R * C;
    };
    template <class U, index_t C>
    struct rows_type {
        static constexpr index_t cols = C;
    };
};

/// One byte per tensor, so sizeof counts the members.
struct OneByte {
    template <class U, index_t R, index_t C>
    struct param_type {
        char byte;
    };
    template <class U, index_t C>
    struct rows_type {
        char byte;
    };
};

/// As many bytes as one row of each tensor takes in a set of T, so sizeof is the bytes per token.
template <class T>
struct Sized {
    template <class U, index_t C>
    struct rows_type {
        char bytes[static_cast<std::size_t>(C) * sizeof(typename detail::slot_element<T, U>::type)];
    };
};

/// Views of elements of T: weights, gradients, moments, activations.
template <class T>
struct Viewed {
    template <class U, index_t R, index_t C>
    using param_type = Matrix<typename detail::slot_element<T, U>::type, R, C>;
    template <class U, index_t C>
    using rows_type = Rows<typename detail::slot_element<T, U>::type, C>;
};

/// A learned tensor [R, C].
template <class Slot, index_t R, index_t C = 1>
using param = typename Slot::template param_type<void, R, C>;

/// A tensor [R] that is saved with the model but not learned by gradient, never rounded below float.
template <class Slot, index_t R>
using state = typename Slot::template param_type<wide, R, 1>;

/// An activation [tokens, C]; U is void for the activations' own type, `wide`, or an integer type.
template <class Slot, index_t C, class U = void>
using rows = typename Slot::template rows_type<U, C>;

/// An entry of a generation cache: [positions, C].
template <class Slot, index_t C>
using cached = typename Slot::template rows_type<void, C>;

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
