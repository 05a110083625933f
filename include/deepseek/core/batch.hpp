// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_BATCH_HPP
#define DEEPSEEK_CORE_BATCH_HPP

#include <deepseek/core/index.hpp>

#include <span>

namespace deepseek::inline DEEPSEEK_ABI {

/// What one training or evaluation step reads: `sequences` windows of text of `length` tokens each, and for every
/// position the token that follows. Non-owning.
///
/// Shapes:    tokens, targets [sequences, length], row-major, so that targets[s, t] == tokens[s, t + 1] in a window
struct Batch {
    std::span<Token const> tokens;
    std::span<Token const> targets;
    index_t sequences = 0;
    index_t length = 0;
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
