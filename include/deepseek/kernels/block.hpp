// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_KERNELS_BLOCK_HPP
#define DEEPSEEK_KERNELS_BLOCK_HPP

#include <deepseek/core/index.hpp>

// Kernels whose threads work together. A kernel is a trivially copyable function object with
//
//     static constexpr int kThreads;   // of a block, a multiple of kWarp
//     struct Shared { … };             // the block's shared memory, not initialised
//     template <class Block> DEEPSEEK_HD void operator()(Block& block) const;   // what one thread does
//
// and sees of the device that runs it
//
//     block.index()                    // which block of the grid
//     block.thread()                   // which thread of the block
//     block.shared()
//     block.sync()                     // until all threads of the block are here
//     block.sync_warp()                // until all threads of the warp are here
//     block.shuffle_xor(value, mask)   // the value of the thread of this warp whose number differs by mask
//
// All threads of a block, or of a warp, come to the same of the last three, in the same order, and none ends before another
// one waits. On the emulated device, too, where each waits for the others and shared memory starts as NaN, so that a missing
// barrier shows.

namespace deepseek::inline DEEPSEEK_ABI::kernels {

inline constexpr int kWarp = 32;

/// Sum over the threads of a warp, the same bits in all of them.
template <class Block, class T>
DEEPSEEK_HD T warp_sum(Block& block, T value) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) {
        value += block.shuffle_xor(value, mask);
    }
    return value;
}

/// Larger of two, NaN if one is.
template <class T>
DEEPSEEK_HD T larger(T a, T b) {
    return a > b || a != a ? a : b;
}

template <class Block, class T>
DEEPSEEK_HD T warp_max(Block& block, T value) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) {
        value = larger(value, block.shuffle_xor(value, mask));
    }
    return value;
}

/// Shared memory of block_sum and block_max: one value per warp.
template <class T, int Threads>
struct WarpValues {
    T values[Threads / kWarp];
};

/// Sum over the threads of a block, always in the same order. `memory` may be used again behind another barrier.
template <class Block, class T>
DEEPSEEK_HD T block_sum(Block& block, WarpValues<T, Block::kThreads>& memory, T value) {
    value = warp_sum(block, value);
    if (block.thread() % kWarp == 0) {
        memory.values[block.thread() / kWarp] = value;
    }
    block.sync();
    T sum = 0;
    for (auto const part : memory.values) {
        sum += part;
    }
    return sum;
}

template <class Block, class T>
DEEPSEEK_HD T block_max(Block& block, WarpValues<T, Block::kThreads>& memory, T value) {
    value = warp_max(block, value);
    if (block.thread() % kWarp == 0) {
        memory.values[block.thread() / kWarp] = value;
    }
    block.sync();
    T largest = memory.values[0];
    for (auto const part : memory.values) {
        largest = larger(largest, part);
    }
    return largest;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::kernels

#endif
