// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_VISIT_HPP
#define DEEPSEEK_CORE_VISIT_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/slot.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

/// How a tensor is initialised. `scaled_normal` is for matrices that write to the residual stream: the deviation of
/// `normal` divided by sqrt(2 * layers).
enum class Init : std::uint8_t { normal, scaled_normal, ones, zeros };

/// What the optimizer does with a tensor: weight decay is for matrices. It never touches `state`, such as the router's
/// balancing bias.
enum class Role : std::uint8_t { decayed, undecayed, state };

/// How data-parallel ranks hold a tensor.
enum class Shard : std::uint8_t { replicated, expert };

/// One step of a tensor's name, from the model inwards: "model.layers." with an index, "mlp.experts." …
struct Path {
    std::string_view name;
    index_t index = -1;  ///< appended to the name where not negative
    Path const* inner = nullptr;
};

/// What a layer says of one tensor when it is visited.
struct Info {
    std::string_view name;  ///< last part of the tensor's name in files
    Init init = Init::normal;
    Role role = Role::decayed;
    Shard shard = Shard::replicated;
    index_t parts = 1;   ///< tensors of equal extents stacked by rows (experts); files hold them one by one
    index_t active = 1;  ///< how many of the parts a token uses on its way through the main model
    Path const* path = nullptr;  ///< what precedes the name, outermost first
};

/// The tensor's whole name in files. Of a stacked tensor, the name of part `part`: '#' in the name is its index.
inline std::string full_name(Info const& info, index_t part = 0) {
    std::string text;
    for (auto const* step = info.path; step != nullptr; step = step->inner) {
        text += step->name;
        if (step->index >= 0) {
            text += std::to_string(step->index);
            text += '.';
        }
    }
    for (char const letter : info.name) {
        letter == '#' ? text += std::to_string(part) : text += letter;
    }
    return text;
}

/// Visits the tensors of a child layer L under a name: "model.layers." with index 3 gives "model.layers.3.…".
template <class L, class F, class... Sets>
constexpr void visit_child(std::string_view name, index_t index, F&& f, Sets&... sets) {
    L::visit(
        [&](Info info, auto&... tensors) {
            Path const here{name, index, info.path};
            info.path = &here;
            f(info, tensors...);
        },
        sets...);
}

/// The parameters of L as extents, to visit where only those matter.
template <class L>
using described_params = typename L::template Params<Described>;

/// The parameters of L as views of elements of T: weights, gradients, moments.
template <class L, class T>
using viewed_params = typename L::template Params<Viewed<T>>;

namespace detail {
template <class L>
constexpr index_t count_params() {
    index_t count = 0;
    described_params<L> params{};
    L::visit(
        [&](Info const& info, auto const& tensor) { count += info.role == Role::state ? 0 : tensor.size; },
        params);
    return count;
}

template <class L>
constexpr index_t count_active_params() {
    index_t count = 0;
    described_params<L> params{};
    L::visit(
        [&](Info const& info, auto const& tensor) {
            count += info.role == Role::state ? 0 : tensor.size / info.parts * info.active;
        },
        params);
    return count;
}

// Tensors start on cache lines, whatever precedes them.
inline constexpr index_t kTensorAlignment = 64;

template <class Tensor, class T>
constexpr index_t tensor_bytes() {
    using element = typename slot_element<T, typename Tensor::element>::type;
    return round_up(Tensor::size * static_cast<index_t>(sizeof(element)), kTensorAlignment);
}

template <class L, class T>
constexpr index_t count_bytes() {
    index_t bytes = 0;
    described_params<L> params{};
    L::visit([&]<class Tensor>(Info const&, Tensor const&) { bytes += tensor_bytes<Tensor, T>(); }, params);
    return bytes;
}
}  // namespace detail

/// Learned parameters of a layer or model. The router's balancing bias is state, not a parameter.
template <class L>
inline constexpr index_t param_count = detail::count_params<L>();

/// Learned parameters that a token passes through: of a mixture, the experts chosen for it; of MTP modules, none.
template <class L>
inline constexpr index_t active_param_count = detail::count_active_params<L>();

/// Bytes of a buffer that holds every tensor of L with elements of T, padding included.
template <class L, class T>
inline constexpr index_t param_bytes = detail::count_bytes<L, T>();

/// Points the views of a set at consecutive tensors in `base`, each aligned to 64 bytes. Sets of different T
/// have the same order and alignment.
template <class L, class T>
void bind(viewed_params<L, T>& params, std::byte* base) {
    described_params<L> described{};
    L::visit(
        [&]<class View, class Tensor>(Info const&, View& view, Tensor const&) {
            view.data = reinterpret_cast<typename View::element*>(base);
            base += detail::tensor_bytes<Tensor, T>();
        },
        params, described);
}

/// Points two sets of views at the tensors in `base`: one to write and one to read only.
template <class L, class T>
void bind(viewed_params<L, T>& params, viewed_params<L, T const>& const_params, std::byte* base) {
    described_params<L> described{};
    L::visit(
        [&]<class View, class Const, class Tensor>(Info const&, View& view, Const& const_view,
                                                   Tensor const&) {
            view.data = reinterpret_cast<typename View::element*>(base);
            const_view = view;
            base += detail::tensor_bytes<Tensor, T>();
        },
        params, const_params, described);
}

/// Guard for leaf layers: true if `visit` names every member of Params. An empty set has size one: do not ask.
template <class L>
constexpr bool every_member_visited() {
    std::size_t visited = 0;
    typename L::template Params<OneByte> params{};
    L::visit([&](Info const&, auto const&) { ++visited; }, params);
    return visited == sizeof(params);
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
