// SPDX-License-Identifier: MIT
#include <deepseek/layers/mla.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/layers/mtp.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/model/blocks.hpp>
#include <deepseek/model/flops.hpp>
#include <deepseek/model/model.hpp>

#include <doctest/doctest.h>

using namespace deepseek;

namespace {

using Attention = MLA<64, 4, 16, 0, 8, 16, 16>;  // 4 heads: 16 + 8 wide queries and keys, 16 wide values
constexpr index_t kAttention = 64 * 4 * (16 + 8) + (16 + 8) * 64 + 16 * 4 * (16 + 16) + 4 * 16 * 64;
constexpr index_t kDense = 3 * 64 * 128;
constexpr index_t kHead = 100 * 64;
constexpr index_t kPerKey = 4 * (16 + 8 + 16);

using Dense = Blocks<2, Attention, SwiGLU<128>>;
using Plain = Model<Vocabulary<100>, Dense>;
using Tied = Model<Vocabulary<100>, Dense, Options<ModelOptions{.tied_head = true}>>;
using Predicting = Model<Vocabulary<100>, Dense, MTP<2>>;
using Sparse =
    Model<Vocabulary<100>, Blocks<1, Attention, SwiGLU<128>>, Blocks<3, Attention, MoE<8, 2, 32, 48>>>;

// Forward once, backward twice, a multiply-add is two; 9 tokens see 5 keys on average.
constexpr double flops(index_t weights, index_t per_key) {
    return 6.0 * static_cast<double>(weights + 5 * per_key);
}

}  // namespace

TEST_CASE("train_flops_per_token: products with weights and causal attention, the embedding not multiplied") {
    CHECK(train_flops_per_token<Plain>(9) == flops(2 * (kAttention + kDense) + kHead, 2 * kPerKey));
}

TEST_CASE("train_flops_per_token: a tied head is as much arithmetic as one of its own") {
    CHECK(train_flops_per_token<Tied>(9) == train_flops_per_token<Plain>(9));
}

TEST_CASE("train_flops_per_token: an MTP module is a projection, a block and the head again") {
    constexpr index_t kModule = 64 * 128 + kAttention + kDense + kHead;
    CHECK(train_flops_per_token<Predicting>(9) ==
          flops(2 * (kAttention + kDense) + kHead + 2 * kModule, (2 + 2) * kPerKey));
}

TEST_CASE("train_flops_per_token: of a mixture, the router, the chosen experts and the shared one") {
    constexpr index_t kMixture = 8 * 64 + 2 * 3 * 64 * 32 + 3 * 64 * 48;
    CHECK(train_flops_per_token<Sparse>(9) ==
          flops(4 * kAttention + kDense + 3 * kMixture + kHead, 4 * kPerKey));
}

TEST_CASE("train_flops_per_token: is known to the compiler") {
    static_assert(train_flops_per_token<Plain>(1) == 6.0 * (2 * (kAttention + kDense) + kHead + 2 * kPerKey));
}
