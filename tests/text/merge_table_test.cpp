// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/text/merge_table.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

using deepseek::RandomKey;
using deepseek::Seed;
using deepseek::Token;
using deepseek::text::Merger;
using deepseek::text::MergeTable;

namespace {

using Pairs = std::map<std::pair<Token, Token>, MergeTable::Merge>;

// Merging by its definition: look at all pairs, merge the leftmost of lowest rank, begin again.
std::vector<Token> merged_by_definition(Pairs const& pairs, std::vector<Token> tokens) {
    for (;;) {
        std::size_t best = tokens.size();
        std::uint32_t rank = MergeTable::kNoRank;
        for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
            auto const pair = pairs.find({tokens[i], tokens[i + 1]});
            if (pair != pairs.end() && pair->second.rank < rank) {
                best = i;
                rank = pair->second.rank;
            }
        }
        if (best == tokens.size()) {
            return tokens;
        }
        tokens[best] = pairs.at({tokens[best], tokens[best + 1]}).result;
        tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
}

}  // namespace

TEST_CASE("merging: short and long words agree with the definition") {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        RandomKey const key(Seed{seed});
        std::uint64_t counter = 0;
        auto const below = [&](std::uint64_t count) { return key.bits(counter++) % count; };
        // Pairs of few tokens, so that merges overlap; with and without pairs of equal rank.
        Pairs pairs;
        Token next = 3;
        MergeTable table(40);
        for (std::uint32_t i = 0; i < 40; ++i) {
            auto const known = static_cast<std::uint64_t>(next);
            std::pair const pair{static_cast<Token>(below(known)), static_cast<Token>(below(known))};
            if (!pairs.contains(pair)) {
                auto const rank = seed % 2 == 0 ? i : i / 4;
                pairs[pair] = {rank, next};
                table.add(pair.first, pair.second, {rank, next});
                ++next;
            }
        }
        CHECK(table.size() == pairs.size());
        Merger merger;
        for (std::size_t length : {0U, 1U, 2U, 3U, 10U, 47U, 48U, 49U, 50U, 250U}) {
            CAPTURE(length);
            std::vector<Token> tokens;
            for (std::size_t i = 0; i < length; ++i) {
                tokens.push_back(static_cast<Token>(below(3)));
            }
            auto const expected = merged_by_definition(pairs, tokens);
            merger.merge(table, tokens);
            CHECK(tokens == expected);
        }
    }
}

TEST_CASE("merging: of a pair given twice the later rank counts") {
    MergeTable table(3);
    table.add(0, 1, {0, 5});
    table.add(1, 2, {1, 6});
    table.add(0, 1, {2, 7});
    CHECK(table.size() == 2);
    CHECK(table.find(0, 1).result == 7);
    CHECK(table.find(2, 1).rank == MergeTable::kNoRank);
    std::vector<Token> tokens = {0, 1, 2};
    Merger().merge(table, tokens);
    CHECK(tokens == std::vector<Token>{0, 6});
}

TEST_CASE("merging: a table does not take more pairs than it was made for") {
    MergeTable table(1);
    table.add(0, 1, {0, 2});
    CHECK_THROWS_AS(table.add(1, 0, {1, 3}), deepseek::Error);
    CHECK_THROWS_AS(table.add(0, 1, {2, 2}), deepseek::Error);  // a rank that none of one pair can have
}
