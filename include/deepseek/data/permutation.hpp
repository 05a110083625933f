// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DATA_PERMUTATION_HPP
#define DEEPSEEK_DATA_PERMUTATION_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::data {

/// A pseudo-random order of 0 … size - 1 that needs no table: the place of any one item is computed from a key alone.
/// Equal keys and sizes give equal orders.
///
/// Cost:      constant memory; on average fewer than four evaluations of eight hashes
/// Source:    a Feistel network over the next power of four, iterated until it falls below size ("cycle walking": Black
///            and Rogaway 2002, Ciphers with Arbitrary Finite Domains)
class Permutation {
public:
    constexpr Permutation(index_t size, RandomKey key) : size_(static_cast<std::uint64_t>(size)), key_(key) {
        expects(size > 0, "a permutation of ", size, " items");
        half_bits_ = std::max(1, (static_cast<int>(std::bit_width(size_ - 1)) + 1) / 2);
    }

    constexpr index_t size() const { return static_cast<index_t>(size_); }

    /// The item at a place, both in [0, size).
    constexpr index_t operator()(index_t place) const {
        DEEPSEEK_ASSERT(place >= 0 && place < size());
        auto item = static_cast<std::uint64_t>(place);
        do {  // the network permutes a larger domain, so following the cycle comes back below size
            item = shuffle(item);
        } while (item >= size_);
        return static_cast<index_t>(item);
    }

private:
    // Halves of one bit are so small that four rounds would leave a pattern; eight leave none that a test could find.
    static constexpr std::uint64_t kRounds = 8;

    constexpr std::uint64_t shuffle(std::uint64_t item) const {
        auto const mask = (std::uint64_t{1} << static_cast<unsigned>(half_bits_)) - 1;
        auto left = item >> static_cast<unsigned>(half_bits_);
        auto right = item & mask;
        for (std::uint64_t round = 0; round < kRounds; ++round) {
            auto const mixed = left ^ (key_.fork(round).bits(right) & mask);
            left = right;
            right = mixed;
        }
        return left << static_cast<unsigned>(half_bits_) | right;
    }

    std::uint64_t size_;
    int half_bits_ = 1;
    RandomKey key_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::data

#endif
