// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_MODEL_TAPE_HPP
#define DEEPSEEK_MODEL_TAPE_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/core/slot.hpp>
#include <deepseek/core/view.hpp>

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

/// What one forward pass keeps for the backward pass: views into the arena it was given, valid as long as its scope.
template <class M, class T>
struct model_tape {
    static constexpr std::size_t depth = static_cast<std::size_t>(M::mtp_depth);

    Pass pass;
    index_t counted = 0;                      // targets of the main model that are not ignored
    std::array<Token*, depth + 1> tokens{};   // [0]: the batch's; [k]: k further on, k rows fewer
    std::array<Token*, depth + 1> targets{};  // likewise
    // Where documents begin; null where every sequence is one. See Pass.
    std::array<std::int32_t*, depth + 1> document_starts{};
    // The residual stream before every block and behind the last.
    std::array<Rows<T, M::width>, M::layers + 1> hidden{};
    Rows<accumulate_t<T>, 1> inverse_rms{};
    Rows<T, M::width> output{};                              // normed: what the head sees
    typename M::Blocks::template Saved<Viewed<T>> blocks{};  // empty views where blocks are recomputed
    std::array<typename M::MtpModule::template Saved<Viewed<T>>, depth> mtp{};

    /// The normed output of the main model (0) or of an MTP depth.
    Rows<T, M::width> output_of(std::size_t k) const {
        if constexpr (depth > 0) {
            return k == 0 ? output : mtp[k - 1].output;
        } else {
            return output;
        }
    }

    /// The stream before and behind a block.
    std::pair<Rows<T, M::width>, Rows<T, M::width>> around(index_t layer) const {
        auto const i = static_cast<std::size_t>(layer);
        return {hidden[i], hidden[i + 1]};
    }
};

// Bytes that a tape holds per row. A module of depth k has k rows per sequence less than this counts.
template <class M, class T, bool Recompute>
constexpr index_t tape_bytes() {
    auto bytes = (M::layers + 2) * M::width * static_cast<index_t>(sizeof(T)) +
                 static_cast<index_t>(sizeof(accumulate_t<T>)) +
                 2 * (M::mtp_depth + 1) * static_cast<index_t>(sizeof(Token));
    if constexpr (!Recompute) {
        M::Blocks::each([&]<class Block>(std::type_identity<Block>, index_t) {
            bytes += static_cast<index_t>(sizeof(typename Block::template Saved<Sized<T>>));
        });
    }
    if constexpr (M::mtp_depth > 0) {
        bytes += M::mtp_depth * static_cast<index_t>(sizeof(typename M::MtpModule::template Saved<Sized<T>>));
    }
    return bytes;
}

}  // namespace detail

/// Bytes that training model M with activations of T keeps per token of a batch, from the forward pass to the backward
/// pass. With `Recompute` (TrainOptions::recompute) blocks keep their input alone.
template <class M, class T, bool Recompute = false>
inline constexpr index_t saved_bytes_per_token = detail::tape_bytes<M, T, Recompute>();

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
