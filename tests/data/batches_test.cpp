// SPDX-License-Identifier: MIT
#include <deepseek/core/batch.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/data/batches.hpp>
#include <deepseek/data/permutation.hpp>
#include <deepseek/data/token_files.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <vector>

using deepseek::Batch;
using deepseek::FormatError;
using deepseek::index_t;
using deepseek::RandomKey;
using deepseek::Seed;
using deepseek::Token;
using deepseek::data::Batches;
using deepseek::data::BatchOptions;
using deepseek::data::Order;
using deepseek::data::Permutation;
using deepseek::data::SequentialBatches;
using deepseek::data::TokenFiles;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using deepseek_tests::ScratchDirectory;
using Tokens = std::vector<Token>;

namespace {

// A file in which token i is i.
class Counting {
public:
    explicit Counting(index_t size) {
        std::vector<std::uint16_t> ids(static_cast<std::size_t>(size));
        std::iota(ids.begin(), ids.end(), std::uint16_t{0});
        std::ofstream(scratch_ / "t.bin", std::ios::binary)
            .write(reinterpret_cast<char const*>(ids.data()), static_cast<std::streamsize>(2 * size));
    }
    TokenFiles file(index_t vocabulary = 65'536) const { return {scratch_ / "t.bin", vocabulary}; }

private:
    ScratchDirectory scratch_;
};

// Checks that targets follow tokens and windows hold consecutive text; gives where each window begins.
Tokens window_begins(Batch const& batch) {
    Tokens begins;
    REQUIRE(static_cast<index_t>(batch.tokens.size()) == batch.sequences * batch.length);
    REQUIRE(batch.targets.size() == batch.tokens.size());
    for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
        CHECK(batch.targets[i] == batch.tokens[i] + 1);
        if (i % static_cast<std::size_t>(batch.length) == 0) {
            begins.push_back(batch.tokens[i]);
        } else {
            CHECK(batch.tokens[i] == batch.tokens[i - 1] + 1);
        }
    }
    return begins;
}

Tokens begins(Batches& batches, int count) {
    Tokens all;
    for (int i = 0; i < count; ++i) {
        auto const some = window_begins(batches.next());
        all.insert(all.end(), some.begin(), some.end());
    }
    return all;
}

}  // namespace

TEST_CASE("permutation: every item comes once, for every size") {
    for (index_t size = 1; size < 300; ++size) {
        Permutation const order(size, RandomKey(Seed{static_cast<std::uint64_t>(size)}));
        std::vector<bool> seen(static_cast<std::size_t>(size));
        for (index_t place = 0; place < size; ++place) {
            auto const item = order(place);
            REQUIRE((item >= 0 && item < size));
            REQUIRE_FALSE(seen[static_cast<std::size_t>(item)]);
            seen[static_cast<std::size_t>(item)] = true;
        }
    }
    Permutation const large(index_t{1} << 40U, RandomKey(Seed{1}));
    std::set<index_t> items;
    for (index_t place = 0; place < 1000; ++place) {
        items.insert(large(place));
    }
    CHECK(items.size() == 1000);
    CHECK(*items.rbegin() > index_t{1} << 39U);
    CHECK_THROWS_AS(Permutation(0, RandomKey(Seed{1})), deepseek::Error);
}

TEST_CASE("permutation: all orders of few items are equally likely") {
    // Chi-squared over the 24 orders of four items; 23 degrees of freedom, 56 is the 99.99 % point.
    std::map<std::array<index_t, 4>, int> counts;
    constexpr int samples = 24'000;
    for (int i = 0; i < samples; ++i) {
        Permutation const order(4, RandomKey(Seed{static_cast<std::uint64_t>(i)}));
        counts[{order(0), order(1), order(2), order(3)}] += 1;
    }
    CHECK(counts.size() == 24);
    double chi_squared = 0;
    for (auto const& [order, count] : counts) {
        auto const excess = count - samples / 24;
        chi_squared += static_cast<double>(excess) * excess / (samples / 24.0);
    }
    CHECK(chi_squared < 56);
}

TEST_CASE("permutation: neighbours are torn apart") {
    // The mean distance of two random items of n is n / 3.
    constexpr index_t size = 10'000;
    Permutation const order(size, RandomKey(Seed{5}));
    double distance = 0;
    for (index_t place = 1; place < size; ++place) {
        distance += static_cast<double>(std::abs(order(place) - order(place - 1)));
    }
    // The standard deviation of the mean is about n / (3 sqrt(2 n)), 0.7 % of it.
    CHECK(distance / size == doctest::Approx(size / 3.0).epsilon(0.03));
}

TEST_CASE("batches: an epoch takes windows that do not overlap, each once") {
    Counting const counting(1003);
    auto const file = counting.file();
    Batches batches(file, {.sequences = 3, .length = 10, .seed = Seed{1}});
    CHECK(batches.windows() == 99);
    std::set<Token> offsets;
    std::vector<Tokens> epochs;
    for (int epoch = 0; epoch < 5; ++epoch) {
        CHECK(batches.epochs() == doctest::Approx(epoch));
        auto all = begins(batches, 33);
        epochs.push_back(all);
        std::sort(all.begin(), all.end());
        offsets.insert(all.front());
        for (std::size_t i = 1; i < all.size(); ++i) {
            CHECK(all[i] == all[i - 1] + 10);
        }
        CHECK(all.back() + 10 <= 1002);
    }
    CHECK(offsets.size() > 1);  // each epoch cuts elsewhere
    CHECK(epochs[0] != epochs[1]);
    CHECK_FALSE(std::is_sorted(epochs[0].begin(), epochs[0].end()));
}

TEST_CASE("batches: over epochs the whole text is seen, first and last token included") {
    Counting const counting(57);
    auto const file = counting.file();
    Batches batches(file, {.sequences = 1, .length = 10, .seed = Seed{3}});
    std::set<Token> tokens;
    std::set<Token> targets;
    for (int i = 0; i < 4 * 200; ++i) {
        auto const batch = batches.next();
        tokens.insert(batch.tokens.begin(), batch.tokens.end());
        targets.insert(batch.targets.begin(), batch.targets.end());
    }
    CHECK(tokens.size() == 56);
    CHECK(targets.size() == 56);
}

TEST_CASE("batches: going on at a position gives what would have come") {
    Counting const counting(500);
    auto const file = counting.file();
    for (auto const order : {Order::shuffled, Order::independent}) {
        BatchOptions const options{.sequences = 4, .length = 7, .seed = Seed{9}, .order = order};
        Batches straight(file, options);
        auto const first = begins(straight, 50);
        CHECK(straight.position() == 200);
        for (int stop : {0, 1, 17, 18, 49}) {
            Batches resumed(file, options);
            resumed.seek(4 * stop);
            CHECK(begins(resumed, 50 - stop) == Tokens(first.begin() + 4 * stop, first.end()));
        }
        auto other = options;
        other.seed = Seed{10};
        Batches another(file, other);
        CHECK(begins(another, 50) != first);
        CHECK_THROWS_AS(another.seek(-1), deepseek::Error);
        CHECK_THROWS_AS(another.seek(std::numeric_limits<index_t>::max()), deepseek::Error);
    }
}

TEST_CASE("batches: independent windows begin everywhere") {
    Counting const counting(30);
    auto const file = counting.file();
    Batches batches(file, {.sequences = 5, .length = 10, .seed = Seed{2}, .order = Order::independent});
    auto const all = begins(batches, 200);
    std::set<Token> const places(all.begin(), all.end());
    CHECK(places.size() == 20);
    CHECK(*places.begin() == 0);
    CHECK(*places.rbegin() == 19);
}

TEST_CASE("batches: the smallest files, and those too small") {
    Counting const exact(11);
    auto const file = exact.file();
    Batches batches(file, {.sequences = 2, .length = 10});
    CHECK(batches.windows() == 1);
    CHECK(begins(batches, 2) == Tokens{0, 0, 0, 0});
    CHECK(mentions(error_of<FormatError>([&] { Batches(file, {.sequences = 1, .length = 11}); }), "t.bin",
                   "11 tokens", "at least 12"));
    CHECK_THROWS_AS(Batches(file, {.sequences = 0, .length = 1}), deepseek::Error);
    CHECK_THROWS_AS(Batches(file, {.sequences = 1, .length = 0}), deepseek::Error);
}

TEST_CASE("batches: a token outside the vocabulary is an error when it is reached") {
    Counting const counting(100);
    auto const file = counting.file(90);
    Batches batches(file, {.sequences = 1, .length = 10});
    CHECK(mentions(error_of<FormatError>([&] {
                       for (int i = 0; i < 100; ++i) {
                           batches.next();
                       }
                   }),
                   "t.bin", "vocabulary of 90"));
}

TEST_CASE("sequential batches: every token but the first is a target once") {
    for (index_t size = 2; size < 80; ++size) {
        CAPTURE(size);
        Counting const counting(size);
        auto const file = counting.file();
        SequentialBatches batches(file, 3, 5);
        for (int round = 0; round < 2; ++round) {
            Token next = 0;
            while (auto const batch = batches.next()) {
                CHECK(batch->sequences <= 3);
                CHECK(batch->length <= 5);
                for (auto const begin : window_begins(*batch)) {
                    CHECK(begin == next);
                    next += static_cast<Token>(batch->length);
                }
            }
            CHECK(next == size - 1);
            CHECK_FALSE(batches.next());
            batches.rewind();
        }
    }
    Counting const one(1);
    auto const file = one.file();
    CHECK(mentions(error_of<FormatError>([&] { SequentialBatches(file, 1, 1); }), "at least two"));
}

namespace {

// Checks that a document begins where a window does and at every separator, and nowhere else.
void check_documents(Batch const& batch, Token separator) {
    REQUIRE(batch.documents.size() == batch.tokens.size());
    for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
        CAPTURE(i);
        bool const first = i % static_cast<std::size_t>(batch.length) == 0;
        auto const before = first ? 0 : batch.documents[i - 1];
        CHECK(batch.documents[i] == before + (!first && batch.tokens[i] == separator ? 1 : 0));
    }
}

}  // namespace

TEST_CASE("batches: with a separator, documents begin with it; without one they are not told") {
    ScratchDirectory const scratch;
    std::vector<std::uint16_t> ids(200);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<std::uint16_t>(i * i % 7);  // 0 at every seventh place
    }
    std::ofstream(scratch / "t.bin", std::ios::binary)
        .write(reinterpret_cast<char const*>(ids.data()), static_cast<std::streamsize>(2 * ids.size()));
    TokenFiles const file{scratch / "t.bin", 7};

    Batches batches(file, {.sequences = 3, .length = 16, .separator = 0});
    for (int i = 0; i < 10; ++i) {
        auto const batch = batches.next();
        check_documents(batch, 0);
        CHECK(batch.documents[15] > 0);
    }
    SequentialBatches in_order(file, 3, 16, 0);
    std::size_t count = 0;
    while (auto const batch = in_order.next()) {
        check_documents(*batch, 0);
        count += batch->documents.size();
    }
    CHECK(count == 199);
    CHECK(Batches(file, {.sequences = 3, .length = 16}).next().documents.empty());
    CHECK(SequentialBatches(file, 3, 16).next()->documents.empty());
}
