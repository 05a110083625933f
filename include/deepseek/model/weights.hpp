// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_MODEL_WEIGHTS_HPP
#define DEEPSEEK_MODEL_WEIGHTS_HPP

#include <deepseek/backend/concept.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/each_tensor.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/visit.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI {

/// One tensor for every parameter of model M, elements of T, in one buffer of backend B: weights, gradients, moments.
/// All sets of a model have the same order. Starts as zeros.
///
/// Errors:    what the backend throws when it has not param_bytes<M, T> of memory
template <class M, class T, class B>
class Weights {
    static_assert(Element<T>, "Weights<M, T, B>: T must be float, double or bf16");
    static_assert(
        detail::Stores<B>,
        "Weights<M, T, B>: B must be a backend such as Cpu; deepseek/backend/concept.hpp lists what one has");

public:
    using element = T;

    explicit Weights(B& backend) : buffer_(backend, param_bytes<M, T>) {
        bind<M, T>(params_, const_params_, buffer_.data());
        backend.fill_zero(buffer_.data(), buffer_.bytes());
    }
    Weights(Weights&&) noexcept = default;
    Weights& operator=(Weights&&) noexcept = default;

    /// Views of all tensors, to write; view() and the const overload are to read.
    viewed_params<M, T>& params() { return params_; }
    viewed_params<M, T const> const& params() const { return const_params_; }
    viewed_params<M, T const> const& view() const { return const_params_; }

    /// The whole buffer, in the backend's memory; between tensors there may be padding.
    std::byte* data() const { return buffer_.data(); }
    index_t bytes() const { return buffer_.bytes(); }

private:
    Buffer<B> buffer_;
    viewed_params<M, T> params_{};
    viewed_params<M, T const> const_params_{};
};

namespace detail {
// Names of tensors are hashed into their random stream, so that a tensor's values depend on its name and the seed but
// not on what else the model has. FNV-1a.
inline std::uint64_t hash_name(std::string_view name) {
    std::uint64_t hash = 0xCBF2'9CE4'8422'2325U;
    for (char const letter : name) {
        hash = (hash ^ static_cast<unsigned char>(letter)) * 0x0000'0100'0000'01B3U;
    }
    return hash;
}
}  // namespace detail

namespace detail {
template <class T>
struct InitBlock {
    static constexpr index_t kElements = 4096;

    T* to;
    index_t count;
    double mean;
    double deviation;
    RandomKey key;

    DEEPSEEK_HD void operator()(index_t block) const {
        auto const end = (block + 1) * kElements < count ? (block + 1) * kElements : count;
        for (auto i = block * kElements; i < end; ++i) {
            auto const noise = deviation == 0 ? 0.0 : deviation * key.normal(static_cast<std::uint64_t>(i));
            to[i] = convert<T>(mean + noise);
        }
    }
};
}  // namespace detail

/// Fills the tensors for which wanted(info) is true, as initialize does.
template <class M, class T, class B, class F>
void initialize_if(B& be, Weights<M, T, B>& weights, Seed seed, F const& wanted) {
    auto const deviation = M::options.init_deviation;
    auto const scaled = deviation / std::sqrt(2.0 * static_cast<double>(M::layers));
    each_tensor<M, T>([&](Info const& info, Place const& place) {
        if (!wanted(info)) {
            return;
        }
        auto const mean = info.init == Init::ones ? 1.0 : 0.0;
        auto const spread = info.init == Init::normal          ? deviation
                            : info.init == Init::scaled_normal ? scaled
                                                               : 0.0;
        auto const key = RandomKey{seed}.fork(detail::hash_name(full_name(info)));
        with_element<T>(place, [&]<class E>(std::type_identity<E>) {
            using Body = detail::InitBlock<E>;
            be.for_each(ceil_div(place.size(), Body::kElements), 16 * Body::kElements,
                        Body{elements_at<E>(weights.data(), place), place.size(), mean, spread, key});
        });
    });
}

/// Fills the weights: matrices normal with the model's init_deviation, those that write to the residual stream with
/// init_deviation / sqrt(2 * layers), norm gains 1, biases 0. A tensor's values depend on the seed and its name alone.
template <class M, class T, class B>
void initialize(B& be, Weights<M, T, B>& weights, Seed seed) {
    initialize_if(be, weights, seed, [](Info const&) { return true; });
}

namespace detail {
template <class To, class From>
struct ConvertBlock {
    static constexpr index_t kElements = 4096;

    To* to;
    From* from;
    index_t count;

    DEEPSEEK_HD void operator()(index_t block) const {
        auto const end = (block + 1) * kElements < count ? (block + 1) * kElements : count;
        for (auto i = block * kElements; i < end; ++i) {
            to[i] = convert<To>(static_cast<std::remove_const_t<From>>(from[i]));
        }
    }
};
}  // namespace detail

/// Copies every tensor of one set into another of the same model, converting elements.
template <class M, class To, class From, class B>
void copy_weights(B& be, Weights<M, To, B>& to, Weights<M, From, B> const& from) {
    // The sets name the same tensors in the same order, at offsets of their own.
    std::vector<Place> places;
    each_tensor<M, From>([&](Info const&, Place const& place) { places.push_back(place); });
    auto source = places.begin();
    each_tensor<M, To>([&](Info const&, Place const& target) {
        with_element<To>(target, [&]<class Out>(std::type_identity<Out>) {
            with_element<From>(*source, [&]<class In>(std::type_identity<In>) {
                using Body = detail::ConvertBlock<Out, In const>;
                be.for_each(ceil_div(target.size(), Body::kElements), Body::kElements,
                            Body{elements_at<Out>(to.data(), target), elements_at<In>(from.data(), *source),
                                 target.size()});
            });
        });
        ++source;
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
