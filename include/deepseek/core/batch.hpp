// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_BATCH_HPP
#define DEEPSEEK_CORE_BATCH_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace deepseek::inline DEEPSEEK_ABI {

/// What one training or evaluation step reads: `sequences` windows of text of `length` tokens each, and for every
/// position the token that follows. Non-owning.
///
/// A target of -1 or -100 does not count: its position has no loss, and takes no part in the load of experts and in the
/// balance loss. So padding is any token with an ignored target, behind the text. Losses are means over the targets that
/// count; where several batches make one step or evaluation, each weighs as many of them as it has.
///
/// Several documents may share a sequence: `documents` then has the number of every token's document, which grows from one
/// to the next. Attention and MTP do not look from one into another and positions begin anew, so that losses and
/// gradients are those of the documents apart; the sequence of the balance loss stays the whole one.
///
/// Shapes:    tokens, targets [sequences, length], row-major, so that targets[s, t] == tokens[s, t + 1] in a window;
///            tokens in [0, vocabulary), targets likewise or ignored
struct Batch {
    std::span<Token const> tokens;
    std::span<Token const> targets;
    index_t sequences = 0;
    index_t length = 0;
    std::span<std::int32_t const> documents{};  ///< [sequences, length], or empty: every sequence is one

    /// Sequences [first, first + count): a micro-batch of this batch.
    Batch slice(index_t first, index_t count) const {
        auto const begin = static_cast<std::size_t>(first * length);
        auto const size = static_cast<std::size_t>(count * length);
        return {tokens.subspan(begin, size), targets.subspan(begin, size), count, length,
                documents.empty() ? documents : documents.subspan(begin, size)};
    }
};

/// Whether a target is left out of losses: -1, or -100 as PyTorch writes it.
constexpr DEEPSEEK_HD bool is_ignored(Token target) { return target == -1 || target == -100; }

/// How many targets of a batch count.
inline index_t counted_targets(Batch const& batch) {
    return std::count_if(batch.targets.begin(), batch.targets.end(),
                         [](Token id) { return !is_ignored(id); });
}

namespace detail {
[[noreturn, gnu::noinline]] inline void refuse_token(Batch const& batch, std::span<Token const> ids,
                                                     std::span<Token const>::iterator id, index_t vocabulary,
                                                     char const* what, char const* hint) {
    auto const row = static_cast<index_t>(id - ids.begin());
    fail<Error>({"batch: the ", what, " of sequence ", row / batch.length, " at position ",
                 row % batch.length, " is ", *id, ", outside the vocabulary of ", vocabulary, hint});
}
}  // namespace detail

/// Checks what a caller hands in: one pass over its ids.
///
/// Errors:    ShapeError if there are not sequences * length tokens and targets, or documents where there are any; Error
///            naming the first token that is outside [0, vocabulary), target that is neither that nor ignored, or
///            document with a smaller number than the one before it in the sequence
inline void check_batch(Batch const& batch, index_t vocabulary) {
    auto const count = static_cast<std::size_t>(checked_mul(batch.sequences, batch.length));
    expects<ShapeError>(batch.tokens.size() == count && batch.targets.size() == count,
                        "batch: ", batch.tokens.size(), " tokens and ", batch.targets.size(), " targets for ",
                        batch.sequences, " x ", batch.length, " positions");
    auto const outside = [=](Token token) { return token < 0 || token >= vocabulary; };
    auto const token = std::find_if(batch.tokens.begin(), batch.tokens.end(), outside);
    if (token != batch.tokens.end()) {
        detail::refuse_token(batch, batch.tokens, token, vocabulary, "token", "");
    }
    auto const target = std::find_if(batch.targets.begin(), batch.targets.end(),
                                     [=](Token id) { return outside(id) && !is_ignored(id); });
    if (target != batch.targets.end()) {
        detail::refuse_token(batch, batch.targets, target, vocabulary, "target",
                             "; targets to ignore are -1 or -100");
    }
    if (batch.documents.empty()) {
        return;
    }
    expects<ShapeError>(batch.documents.size() == count, "batch: ", batch.documents.size(), " documents for ",
                        batch.sequences, " x ", batch.length, " positions");
    for (index_t row = 1; row < batch.sequences * batch.length; ++row) {
        auto const* const document = batch.documents.data() + row;
        expects(row % batch.length == 0 || document[0] >= document[-1], "batch: document ", document[0],
                " behind ", document[-1], " in sequence ", row / batch.length, " at position ",
                row % batch.length, "; numbers of documents grow within a sequence");
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
