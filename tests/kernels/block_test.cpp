// SPDX-License-Identifier: MIT
// Blocks of threads on the emulated device: that they work together, and that what is wrong with a kernel shows.
#include <deepseek/backend/emulated.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/kernels/block.hpp>

#include "support/placed.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

namespace ds = deepseek;
namespace kernels = ds::kernels;
using deepseek_tests::on;
using ds::index_t;

namespace {

enum class Fault {
    none,
    no_barrier,
    no_second_barrier,
    early_end,
    lone_barrier,
    late_shuffle,
    overrun,
    wild,
    throws
};

// Threads of a block pass what they hold around and add up, several times.
template <Fault F>
struct PassAround {
    static constexpr int kThreads = 96;
    static constexpr int kRounds = 3;
    struct Shared {
        index_t values[kThreads];
        kernels::WarpValues<index_t, kThreads> warps;
    };
    index_t* out;  // [blocks, kThreads]
    index_t beyond = kThreads;

    template <class Block>
    void operator()(Block& block) const {
        auto const me = block.thread();
        index_t* const values = block.shared().values;
        auto value = block.index() * kThreads + me;
        for (int round = 0; round < kRounds; ++round) {
            values[F == Fault::overrun && me == 95 ? beyond : me] = value;
            if (F == Fault::early_end && me == 40) {
                return;
            }
            if (F == Fault::throws && me == 40) {
                throw ds::Error("broken thread");
            }
            if (F != Fault::no_barrier && (F != Fault::lone_barrier || me < 64)) {
                block.sync();
            }
            value = values[(me + 33) % kThreads];
            if (F != Fault::no_second_barrier) {
                block.sync();
            }
        }
        if (F == Fault::late_shuffle && me % kernels::kWarp == 7) {
            block.sync_warp();
        }
        out[block.index() * kThreads + me] = value + kernels::block_sum(block, block.shared().warps, value);
        if (F == Fault::wild && block.index() == 0 && me == 0) {
            values[beyond + kThreads / kernels::kWarp] = 0;
        }
    }
};

constexpr index_t kBlocks = 5;

std::vector<index_t> expected() {
    constexpr index_t threads = PassAround<Fault::none>::kThreads;
    std::vector<index_t> all;
    for (index_t block = 0; block < kBlocks; ++block) {
        auto const sum = threads * (block * threads) + threads * (threads - 1) / 2;
        for (index_t me = 0; me < threads; ++me) {
            all.push_back(block * threads + (me + 3 * 33) % threads + sum);
        }
    }
    return all;
}

template <Fault F>
std::vector<index_t> pass_around(ds::Emulated& be) {
    auto out = on(be, std::vector<index_t>(expected().size(), -1));
    be.for_blocks(kBlocks, PassAround<F>{out.data()});
    return out.back();
}

ds::Emulated::Options scattered(std::uint64_t seed) {
    return {.order = ds::gpu::Order::scattered, .seed = ds::Seed{seed}};
}

// What is said of a kernel, "right" or "wrong values"; over several seeds the first that is not "right".
template <Fault F>
std::string verdict() {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        ds::Emulated be{scattered(seed)};
        try {
            if (pass_around<F>(be) != expected()) {
                return "wrong values";
            }
        } catch (ds::Error const& error) {
            return error.what();
        }
    }
    return "right";
}

bool contains(std::string const& text, char const* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("kernels: threads of a block meet at barriers and exchange values, in every order") {
    for (auto const order : {ds::gpu::Order::forwards, ds::gpu::Order::backwards}) {
        ds::Emulated be{{.order = order}};
        CHECK(pass_around<Fault::none>(be) == expected());
    }
    CHECK(verdict<Fault::none>() == "right");
}

TEST_CASE(
    "kernels: a removed barrier, an early end, an overrun of shared memory show on the emulated device") {
    CHECK(verdict<Fault::no_barrier>() == "wrong values");
    CHECK(verdict<Fault::no_second_barrier>() == "wrong values");
    CHECK(contains(verdict<Fault::early_end>(), "at a barrier, to which thread 40 does not come"));
    CHECK(contains(verdict<Fault::lone_barrier>(), "to which thread"));
    CHECK(contains(verdict<Fault::late_shuffle>(), "to which thread"));
    CHECK(verdict<Fault::overrun>() == "wrong values");
    CHECK(contains(verdict<Fault::wild>(), "block 0 wrote beside its shared memory"));
    CHECK(verdict<Fault::throws>() == "broken thread");
}

TEST_CASE("kernels: after a broken one, and after one of another size, the emulated device goes on") {
    ds::Emulated be{scattered(1)};
    CHECK_THROWS_AS(pass_around<Fault::early_end>(be), ds::Error);
    CHECK(pass_around<Fault::none>(be) == expected());
    CHECK_THROWS_AS(pass_around<Fault::throws>(be), ds::Error);
    CHECK(pass_around<Fault::none>(be) == expected());
    auto const before = be.counts();
    CHECK(pass_around<Fault::none>(be) == expected());
    CHECK((be.counts() - before).kernels == 1);
    CHECK((be.counts() - before).launches == 1);
    be.for_blocks(0, PassAround<Fault::none>{nullptr});
    CHECK_THROWS_WITH_AS(be.for_blocks(-1, PassAround<Fault::none>{nullptr}),
                         "Gpu::for_blocks: the number of blocks is -1", ds::Error);
}
