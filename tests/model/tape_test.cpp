// SPDX-License-Identifier: MIT
#include <deepseek/backend/meter.hpp>
#include <deepseek/layers/mla.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/layers/mtp.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/model/blocks.hpp>
#include <deepseek/model/model.hpp>
#include <deepseek/model/weights.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

using namespace deepseek;

namespace {

using Attention = MLA<64, 4, 16, 24, 8, 16, 16>;
using Plain =
    Model<Vocabulary<100>, Blocks<1, Attention, SwiGLU<128>>, Blocks<3, Attention, MoE<8, 2, 32, 48>>>;
using Predicting = Model<Vocabulary<100>, Blocks<1, Attention, MoE<8, 2, 32, 48>>, MTP<2>>;

// What a forward pass over `sequences` of 64 tokens takes from its arena.
template <class M, class T>
index_t taken(index_t sequences, bool recompute) {
    Meter meter;
    Weights<M, T, Meter> const weights{meter};
    std::vector<Token> const tokens(static_cast<std::size_t>(sequences * 64));
    Batch const batch{tokens, tokens, sequences, 64};
    Pass const pass{.sequences = sequences, .length = 64, .recompute = recompute};
    Arena<Meter> arena{meter};
    {
        auto const scope = arena.scope();
        arena.take<std::byte>(index_t{1} << 30);  // one block for all, so that addresses are positions
    }
    auto const tape = M::template forward<T>(meter, pass, weights.view(), batch, arena);
    return arena.take<std::byte>(1) - reinterpret_cast<std::byte*>(tape.hidden[0].data);
}

}  // namespace

TEST_CASE_TEMPLATE("saved_bytes_per_token: what a forward pass keeps, to the byte", T, float, double) {
    CHECK(taken<Plain, T>(3, false) == 3 * 64 * saved_bytes_per_token<Plain, T>);
    CHECK(taken<Plain, T>(3, true) == 3 * 64 * saved_bytes_per_token<Plain, T, true>);
}

TEST_CASE("saved_bytes_per_token: MTP modules count as if they had the main model's rows") {
    auto const found = taken<Predicting, float>(16, false);
    CHECK(found < 16 * 64 * saved_bytes_per_token<Predicting, float>);
    CHECK(found > 16 * 61 * saved_bytes_per_token<Predicting, float>);
}
