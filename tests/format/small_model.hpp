// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_FORMAT_SMALL_MODEL_HPP
#define DEEPSEEK_TESTS_FORMAT_SMALL_MODEL_HPP

#include <deepseek/layers/mla.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/layers/mtp.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/model/blocks.hpp>
#include <deepseek/model/model.hpp>
#include <deepseek/model/weights.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace deepseek_tests {

/// All that files need of a backend. Its addresses are not the host's: code that reads through a backend's pointer
/// crashes.
class FarMemory {
public:
    std::byte* allocate(deepseek::index_t bytes) {
        auto const rounded = static_cast<std::size_t>((bytes + 63) / 64 * 64);
        return moved(static_cast<std::byte*>(std::aligned_alloc(64, rounded)));
    }
    void deallocate(std::byte* memory, deepseek::index_t) noexcept { std::free(moved(memory)); }
    void copy_from_host(void* to, void const* from, deepseek::index_t bytes) {
        std::memcpy(moved(to), from, static_cast<std::size_t>(bytes));
    }
    void copy_to_host(void* to, void const* from, deepseek::index_t bytes) {
        std::memcpy(to, moved(const_cast<void*>(from)), static_cast<std::size_t>(bytes));
    }
    void fill_zero(void* to, deepseek::index_t bytes) {
        std::memset(moved(to), 0, static_cast<std::size_t>(bytes));
    }

    /// Reading and writing files computes nothing.
    template <class F>
    void for_each(deepseek::index_t, deepseek::index_t, F const&) {
        throw deepseek::Error("FarMemory: something was to be computed");
    }

private:
    // Flips a bit of the address that no user-space pointer has; its own inverse.
    template <class P>
    static P* moved(P* pointer) {
        return reinterpret_cast<P*>(reinterpret_cast<std::uintptr_t>(pointer) ^ (std::uintptr_t{1} << 62U));
    }
};

// Everything a checkpoint can hold: dense and sparse blocks, a compressed query, a shared expert, router biases, an MTP
// module, a head of its own.
inline constexpr deepseek::Routing kSmallRouting{.groups = 2, .groups_kept = 1, .scale = 2.446};
using SmallAttention = deepseek::MLA<16, 2, 8, 12, 4, 6, 10>;
template <class... More>
using SmallModel =
    deepseek::Model<deepseek::Vocabulary<40>, deepseek::Blocks<1, SmallAttention, deepseek::SwiGLU<24>>,
                    deepseek::Blocks<2, SmallAttention, deepseek::MoE<4, 2, 5, 10, kSmallRouting>>, More...>;
using Small = SmallModel<deepseek::MTP<1>>;

/// Copies of all elements, to compare sets bit for bit.
template <class M, class T, class B>
std::vector<std::byte> bits_of(B& be, deepseek::Weights<M, T, B> const& weights) {
    std::vector<std::byte> bytes;
    M::visit(
        [&]<class Tensor>(deepseek::Info const&, Tensor& tensor) {
            auto const size = static_cast<std::size_t>(Tensor::size) * sizeof(typename Tensor::element);
            bytes.resize(bytes.size() + size);
            be.copy_to_host(bytes.data() + bytes.size() - size, tensor.data,
                            static_cast<deepseek::index_t>(size));
        },
        weights.view());
    return bytes;
}

/// Random values in every tensor, router biases and vectors included.
template <class M, class T, class B>
void fill(B& be, deepseek::Weights<M, T, B>& weights, std::uint64_t seed) {
    deepseek::RandomKey const key{deepseek::Seed{seed}};
    std::uint64_t number = 0;
    M::visit(
        [&]<class Tensor>(deepseek::Info const&, Tensor& tensor) {
            using E = typename Tensor::element;
            std::vector<E> values(static_cast<std::size_t>(Tensor::size));
            for (auto& value : values) {
                value = deepseek::convert<E>(key.normal(number++));
            }
            be.copy_from_host(tensor.data, values.data(),
                              static_cast<deepseek::index_t>(values.size() * sizeof(E)));
        },
        weights.params());
}

}  // namespace deepseek_tests

#endif
