// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_PASS_HPP
#define DEEPSEEK_CORE_PASS_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>

namespace deepseek::inline DEEPSEEK_ABI {

/// What the rows of one forward or backward pass are: `sequences` of `length` consecutive tokens each, one sequence
/// after the other, the first token of each at `position` of its sequence.
struct Pass {
    index_t sequences = 1;
    index_t length = 0;
    index_t position = 0;  ///< 0 in training; the cache's length in generation

    bool training = false;      ///< dropout acts and expert load is counted
    float balance_alpha = 0;    ///< weight of the sequence-wise balance loss (4.5 of the V3 report: 1e-4)
    RandomKey random{Seed{0}};  ///< of this layer, step and micro-batch; dropout masks are drawn from it

    constexpr index_t rows() const { return sequences * length; }

    /// The same rows with random numbers of their own, for the `use`-th layer of a stack.
    constexpr Pass fork(std::uint64_t use) const {
        auto pass = *this;
        pass.random = random.fork(use);
        return pass;
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
