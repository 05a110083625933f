// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_RANDOM_HPP
#define DEEPSEEK_CORE_RANDOM_HPP

#include <deepseek/config.hpp>
#include <deepseek/core/error.hpp>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <numbers>

// Counter-based random numbers: a value is a pure function of (key, counter), so it depends neither on the order in
// which values are drawn nor on the number of threads, and resuming needs no generator state.

namespace deepseek::inline DEEPSEEK_ABI {

/// A seed as users give it: Seed{1}.
struct Seed {
    std::uint64_t value = 0;

    constexpr Seed() = default;
    constexpr DEEPSEEK_HD explicit Seed(std::uint64_t seed) : value(seed) {}
    constexpr Seed(std::initializer_list<std::uint64_t> one) : value(one.size() == 1 ? *one.begin() : 0) {
        expects(one.size() == 1, "Seed: expected one number, found ", one.size());
    }
    // A number where a seed is expected would otherwise fail far away, or pass for one with some compilers.
    template <int Dependent = 0>
    constexpr Seed(...) {
        static_assert(Dependent != 0, "a seed is no plain number: write Seed{1}");
    }
};

/// 64 well-mixed bits of x: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
constexpr DEEPSEEK_HD std::uint64_t mix_bits(std::uint64_t x) {
    x += 0x9E37'79B9'7F4A'7C15U;
    x = (x ^ (x >> 30U)) * 0xBF58'476D'1CE4'E5B9U;
    x = (x ^ (x >> 27U)) * 0x94D0'49BB'1331'11EBU;
    return x ^ (x >> 31U);
}

/// One independent stream of random numbers.
struct RandomKey {
    std::uint64_t value = 0;

    constexpr DEEPSEEK_HD explicit RandomKey(Seed seed) : value(mix_bits(seed.value)) {}

    /// A stream of its own for one of many uses: a tensor, a layer, a step.
    constexpr DEEPSEEK_HD RandomKey fork(std::uint64_t use) const {
        auto child = *this;
        child.value = mix_bits(value ^ mix_bits(use));
        return child;
    }

    /// 64 uniform bits.
    constexpr DEEPSEEK_HD std::uint64_t bits(std::uint64_t counter) const {
        return mix_bits(value + counter * 0xD134'2543'DE82'EF95U);
    }

    /// Uniform in [0, 1), 53 bits.
    constexpr DEEPSEEK_HD double uniform(std::uint64_t counter) const {
        return static_cast<double>(bits(counter) >> 11U) * 0x1p-53;
    }

    /// Standard normal (Box–Muller, one value of the pair).
    DEEPSEEK_HD double normal(std::uint64_t counter) const {
        auto const radius = std::sqrt(-2 * std::log(1 - uniform(2 * counter)));  // 1 - u is never 0
        return radius * std::cos(2 * std::numbers::pi * uniform(2 * counter + 1));
    }
};

/// Drops elements with a fixed probability and scales the kept ones so that the mean stays. The mask is recomputed from
/// the key in the backward pass instead of being stored.
struct Dropout {
    double rate = 0;  ///< probability of zero, in [0, 1)
    RandomKey key{Seed{}};

    constexpr DEEPSEEK_HD bool active() const { return rate > 0; }
    /// 0 where element `i` is dropped, 1 / (1 - rate) where it is kept.
    template <class T>
    constexpr DEEPSEEK_HD T factor(std::uint64_t i) const {
        return key.uniform(i) < rate ? T{0} : static_cast<T>(1 / (1 - rate));
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
