// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_KERNELS_MUTANT_DEVICE_HPP
#define DEEPSEEK_TESTS_KERNELS_MUTANT_DEVICE_HPP

#include <deepseek/backend/emulated.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace deepseek_tests {

namespace ds = deepseek;
using ds::index_t;

/// One fault in one of the kernels that are launched: the first thing below that is not negative.
struct Fault {
    int kernel = -1;   ///< which launch; negative: none is faulty
    int barrier = -1;  ///< this one of a thread's barriers is missing
    int shuffle = -1;  ///< this one of a thread's shuffles gives what the thread itself brought
    int blocks = -1;   ///< every block takes itself for the one so many behind it

    /// What the kernels launched so far do, the most of any thread.
    struct Done {
        int barriers = 0;
        int shuffles = 0;
        index_t blocks = 0;
    };
    std::vector<Done> done{};
};

/// An emulated device on which kernels go wrong.
class MutantDevice : public ds::EmulatedDevice {
public:
    struct Options {
        Fault* fault;
        ds::Seed seed{1};
    };

    explicit MutantDevice(Options const& options)
        : EmulatedDevice({.order = ds::gpu::Order::scattered, .seed = options.seed}), fault_(options.fault) {
        fault_->done.clear();
    }

    template <class K>
    void launch_blocks(index_t blocks, K const& kernel) {
        auto const number = fault_->done.size();
        fault_->done.push_back({0, 0, blocks});
        EmulatedDevice::launch_blocks(blocks, Mutant<K>{kernel, fault_, number});
    }

private:
    template <class Block>
    class FaultyBlock {
    public:
        static constexpr int kThreads = Block::kThreads;

        FaultyBlock(Block& block, Fault& fault, std::size_t kernel)
            : block_(&block),
              done_(&fault.done[kernel]),
              fault_(&fault),
              faulty_(fault.kernel == static_cast<int>(kernel)) {}

        index_t index() const {
            auto const index = block_->index() + (faulty_ && fault_->blocks > 0 ? fault_->blocks : 0);
            return index % done_->blocks;
        }
        int thread() const { return block_->thread(); }
        auto& shared() const { return block_->shared(); }
        void sync() {
            if (counts_barrier()) {
                block_->sync();
            }
        }
        void sync_warp() {
            if (counts_barrier()) {
                block_->sync_warp();
            }
        }
        template <class T>
        T shuffle_xor(T value, int mask) {
            auto const other = block_->shuffle_xor(value, mask);
            auto const right = !(faulty_ && shuffles_ == fault_->shuffle);
            done_->shuffles = std::max(done_->shuffles, ++shuffles_);
            return right ? other : value;
        }

    private:
        bool counts_barrier() {
            bool const right = !(faulty_ && barriers_ == fault_->barrier);
            done_->barriers = std::max(done_->barriers, ++barriers_);
            return right;
        }

        Block* block_;
        Fault::Done* done_;
        Fault* fault_;
        bool faulty_;
        int barriers_ = 0;
        int shuffles_ = 0;
    };

    template <class K>
    struct Mutant {
        static constexpr int kThreads = K::kThreads;
        using Shared = typename K::Shared;

        K kernel;
        Fault* fault;
        std::size_t number;

        template <class Block>
        void operator()(Block& block) const {
            FaultyBlock<Block> faulty(block, *fault, number);
            kernel(faulty);
        }
    };

    Fault* fault_;
};

}  // namespace deepseek_tests

#endif
