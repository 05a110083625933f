// SPDX-License-Identifier: MIT
#ifndef FROM_SCRATCH_SIZES_HPP
#define FROM_SCRATCH_SIZES_HPP

#include <deepseek/core/index.hpp>

namespace from_scratch {

namespace ds = deepseek;
using ds::index_t;

/// The sizes of a model, named as in the project's configuration where that is not longer. The defaults are those that
/// it was trained with.
struct Sizes {
    index_t vocabulary = 50257;
    index_t context = 1024;  ///< positions that were learned
    index_t layers = 8;
    index_t width = 512;
    index_t heads = 8;
    index_t kv_rank = 128;
    index_t q_rank = 192;
    index_t rope = 32;  ///< width of the rotary part of every head's key and query
    index_t experts = 8;
    index_t top_k = 2;
    index_t expert_hidden = 512;
    index_t shared_hidden = 768;
    int mtp_heads = 1;

    constexpr index_t head() const {
        return width / heads;
    }  ///< width of a head's value, and of its key but for rope
    constexpr index_t key() const { return head() + rope; }
};

}  // namespace from_scratch

#endif
