// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ARGUMENTS_ROTATION_HPP
#define DEEPSEEK_OPS_ARGUMENTS_ROTATION_HPP

#include <deepseek/core/index.hpp>

namespace deepseek::inline DEEPSEEK_ABI {

/// What a backend needs to rotate rows by their positions (see ops::rotate), no part of it in a type: small, so that a
/// kernel can take it by value. Of every head the pairs (v[step · i], v[step · i + gap]) turn by
/// position · inverse_frequency[i]; wider parts than it has room for are rotated piece by piece.
struct Rotation {
    static constexpr index_t kMostPairs = 64;

    float inverse_frequency[kMostPairs] = {};
    double attention_factor = 1;  ///< on cosine and sine
    index_t pairs = 0;
    index_t step = 2;
    index_t gap = 1;
    index_t heads = 1;
    index_t head_stride = 0;  ///< elements from one head to the next
    index_t length = 1;       ///< row r is at position first + r % length, less where its document begins
    index_t first = 0;
    bool backward = false;  ///< the other way
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
