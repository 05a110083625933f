// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_MODEL_PARTS_HPP
#define DEEPSEEK_MODEL_PARTS_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/model_options.hpp>

#include <type_traits>

// What a user writes between the angle brackets of Model, and the sorting of it.

namespace deepseek::inline DEEPSEEK_ABI {

/// Number of token ids.
template <index_t Size>
struct Vocabulary {
    static_assert(Size > 0, "Vocabulary<Size>: Size must be positive");
    static constexpr index_t size = Size > 0 ? Size : 1;
};

/// The model's options as a part of its type: Options<ModelOptions{.tied_head = true}>.
template <ModelOptions Value>
struct Options {
    static constexpr ModelOptions value = Value;
};

namespace detail {

template <class P>
concept BlocksPart = requires {
    requires P::is_blocks;
};
template <class P>
concept MtpPart = requires {
    requires P::is_mtp;
};
template <class P>
concept OptionsPart = requires {
    { P::value } -> std::same_as<ModelOptions const&>;
};

template <class... Types>
struct type_list {};

template <class List, class... Parts>
struct select_blocks {
    using type = List;
};
template <class... Found, class Part, class... Parts>
struct select_blocks<type_list<Found...>, Part, Parts...>
    : select_blocks<std::conditional_t<BlocksPart<Part>, type_list<Found..., Part>, type_list<Found...>>,
                    Parts...> {};

template <class Part>
constexpr int depth_of() {
    if constexpr (MtpPart<Part>) {
        return Part::depth;
    } else {
        return 0;
    }
}
template <class Part>
constexpr void take_options(ModelOptions& options) {
    if constexpr (OptionsPart<Part>) {
        options = Part::value;
    }
}
template <class... Parts>
constexpr ModelOptions options_of() {
    ModelOptions options{};
    (take_options<Parts>(options), ...);
    return options;
}
template <class Part>
constexpr index_t width_of() {
    if constexpr (BlocksPart<Part>) {
        return Part::width;
    } else {
        return 0;
    }
}
template <class... Parts>
constexpr bool equal_widths() {
    index_t width = 0;
    bool equal = true;
    ((width = width == 0 ? width_of<Parts>() : width,
      equal = equal && (width_of<Parts>() == 0 || width_of<Parts>() == width)),
     ...);
    return equal;
}

template <class VocabularySize, class... Parts>
struct model_rules {
    static constexpr bool known = ((BlocksPart<Parts> || MtpPart<Parts> || OptionsPart<Parts>)&&...);
    static constexpr bool some = !known || (BlocksPart<Parts> || ...);
    static constexpr bool equal = !(known && some) || equal_widths<Parts...>();
    static constexpr bool ok = known && some && equal;
};

template <index_t Vocabulary, ModelOptions Options, int Depth, class... Kinds>
struct model_type;

template <bool Ok, class VocabularySize, class... Parts>
struct choose_model {
    using type = Refused;
};
template <class VocabularySize, class... Parts>
struct choose_model<true, VocabularySize, Parts...> {
    template <class>
    struct build;
    template <class... Kinds>
    struct build<type_list<Kinds...>> {
        using type =
            model_type<VocabularySize::size, options_of<Parts...>(), (depth_of<Parts>() + ... + 0), Kinds...>;
    };
    using type = typename build<typename select_blocks<type_list<>, Parts...>::type>::type;
};

template <class VocabularySize, class... Parts>
using model_base =
    typename choose_model<model_rules<VocabularySize, Parts...>::ok, VocabularySize, Parts...>::type;

}  // namespace detail

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
