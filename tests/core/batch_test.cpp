// SPDX-License-Identifier: MIT
#include <deepseek/core/batch.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>

namespace ds = deepseek;

namespace {

// Two sequences of three, all ids valid in a vocabulary of 10.
struct Data {
    std::array<ds::Token, 6> tokens{0, 9, 1, 2, 3, 4};
    std::array<ds::Token, 6> targets{9, 1, -1, 3, -100, 0};

    ds::Batch batch() const { return {tokens, targets, 2, 3}; }
};

}  // namespace

TEST_CASE("batch: ids of the vocabulary and ignored targets pass") {
    Data const data;
    ds::check_batch(data.batch(), 10);
    CHECK(ds::is_ignored(-1));
    CHECK(ds::is_ignored(-100));
    CHECK_FALSE(ds::is_ignored(-2));
    CHECK_FALSE(ds::is_ignored(0));
}

TEST_CASE("batch: an id outside the vocabulary is named with its place") {
    for (auto const id : {10, 100'000, -1, -100, -2}) {
        Data data;
        data.tokens[5] = id;
        auto const text = ds::message("batch: the token of sequence 1 at position 2 is ", id,
                                      ", outside the vocabulary of 10");
        CHECK_THROWS_WITH_AS(ds::check_batch(data.batch(), 10), text.c_str(), ds::Error);
    }
    for (auto const id : {10, 100'000, -2, -99}) {
        Data data;
        data.targets[1] = id;
        auto const text = ds::message("batch: the target of sequence 0 at position 1 is ", id,
                                      ", outside the vocabulary of 10; targets to ignore are -1 or -100");
        CHECK_THROWS_WITH_AS(ds::check_batch(data.batch(), 10), text.c_str(), ds::Error);
    }
}

TEST_CASE("batch: as many tokens and targets as it says, or a ShapeError") {
    Data const data;
    auto batch = data.batch();
    batch.targets = batch.targets.first(5);
    CHECK_THROWS_WITH_AS(ds::check_batch(batch, 10), "batch: 6 tokens and 5 targets for 2 x 3 positions",
                         ds::ShapeError);
}

TEST_CASE("batch: documents are as many as tokens, and their numbers grow within a sequence") {
    Data const data;
    auto batch = data.batch();
    std::array<std::int32_t, 6> documents{0, 0, 7, 3, 3, 3};
    batch.documents = documents;
    ds::check_batch(batch, 10);
    documents[2] = -1;
    CHECK_THROWS_WITH_AS(
        ds::check_batch(batch, 10),
        "batch: document -1 behind 0 in sequence 0 at position 2; numbers of documents grow within a "
        "sequence",
        ds::Error);
    batch.documents = batch.documents.first(5);
    CHECK_THROWS_WITH_AS(ds::check_batch(batch, 10), "batch: 5 documents for 2 x 3 positions",
                         ds::ShapeError);
}

TEST_CASE("batch: a slice has the tokens, targets and documents of its sequences") {
    Data const data;
    auto batch = data.batch();
    auto const plain = batch.slice(1, 1);
    CHECK(plain.sequences == 1);
    CHECK(plain.length == 3);
    CHECK(plain.tokens.data() == batch.tokens.data() + 3);
    CHECK(plain.targets.data() == batch.targets.data() + 3);
    CHECK(plain.documents.empty());
    std::array<std::int32_t, 6> const documents{0, 0, 1, 0, 1, 2};
    batch.documents = documents;
    auto const slice = batch.slice(1, 1);
    CHECK(slice.documents.data() == documents.data() + 3);
    ds::check_batch(slice, 10);
}
