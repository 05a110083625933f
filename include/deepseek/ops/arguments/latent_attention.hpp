// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ARGUMENTS_LATENT_ATTENTION_HPP
#define DEEPSEEK_OPS_ARGUMENTS_LATENT_ATTENTION_HPP

#include <deepseek/core/index.hpp>

namespace deepseek::inline DEEPSEEK_ABI {

/// All extents of one call of attention over the latent cache of one sequence.
struct LatentShape {
    index_t tokens = 0;     ///< queries: the last tokens of the sequence
    index_t positions = 0;  ///< entries of the cache, those of the queries included
    index_t heads = 0;
    index_t rank = 0;  ///< width of the latent
    index_t nope = 0;  ///< width of the part of a query's head that was absorbed
    index_t rope = 0;  ///< width of the rotary part
    double scale = 1;

    /// How many entries, from the first, query `token` sees.
    constexpr DEEPSEEK_HD index_t visible(index_t token) const { return positions - tokens + token + 1; }
};

/// One product per head with that head's rows of a weight: out_h = in_h · w_h (nn) or in_h · w_hᵀ (nt).
struct HeadProducts {
    index_t tokens = 0;
    index_t heads = 0;
    index_t in = 0;             ///< width of a head's input
    index_t in_stride = 0;      ///< elements from one head's input to the next
    index_t out = 0;            ///< width of a head's output
    index_t out_stride = 0;     ///< elements from one head's output to the next
    index_t weight_stride = 0;  ///< rows of the weight from one head to the next
    index_t weight_begin = 0;   ///< first row a head uses of its own
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
