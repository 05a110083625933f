// SPDX-License-Identifier: MIT
// What training holds beside the sets of a model's tensors.
#include <deepseek/backend/meter.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <span>
#include <vector>

namespace ds = deepseek;

TEST_CASE("Trainer: holds the memory that a step needs, and little more while it learns how much that is") {
    using M = ds::Model<ds::Vocabulary<1000>, ds::Blocks<4, ds::MLA<64, 4, 24, 32>, ds::MoE<8, 2, 48, 48>>,
                        ds::MTP<1>>;
    constexpr ds::index_t kSequences = 8, kLength = 128;
    std::vector<ds::Token> const text(kSequences * kLength + 1);
    std::span const all(text);
    ds::Batch const batch{all.first(kSequences * kLength), all.last(kSequences * kLength), kSequences,
                          kLength};

    ds::Meter meter;
    ds::Weights<M, float, ds::Meter> weights{meter};
    ds::Trainer<M, float, ds::Meter> trainer{meter, weights, {.schedule = {.total = 10}}};
    auto const sets = meter.bytes();
    trainer.step({&batch, 1});
    auto const needed = trainer.activation_bytes();
    CHECK(needed > 10'000'000);
    CHECK(meter.bytes() - sets <= needed + needed / 50);
    // blocks that end before something large begins
    CHECK(meter.peak_bytes() - sets <= needed + needed / 4);
    trainer.step({&batch, 1});
    trainer.step({&batch, 1});
    CHECK(trainer.activation_bytes() == needed);
    CHECK(meter.bytes() - sets >= needed);
    CHECK(meter.bytes() - sets <= needed + needed / 50);
}
