// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_LOSS_SHARE_HPP
#define DEEPSEEK_TRAIN_LOSS_SHARE_HPP

#include <deepseek/core/batch.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <span>

// Losses are means over the targets of a whole step or evaluation, whatever batches it is cut into.

namespace deepseek::inline DEEPSEEK_ABI::detail {

// How many targets of all batches count, or of the step they are part of; checked before anything is computed.
template <class M>
index_t count_targets(char const* what, std::span<Batch const> batches, index_t of_step = 0) {
    index_t count = 0;
    for (auto const& batch : batches) {
        check_batch(batch, M::vocabulary);
        count += counted_targets(batch);
    }
    auto const all = of_step > 0 ? of_step : count;
    expects(all > 0, what, ": no target that counts in ", batches.size(), " batches");
    expects(count <= all, what, ": ", count, " targets that count, in a step said to have ", all);
    return all;
}

// What a batch weighs.
inline double loss_share(Batch const& batch, index_t targets) {
    return static_cast<double>(counted_targets(batch)) / static_cast<double>(targets);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::detail

#endif
