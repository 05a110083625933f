// SPDX-License-Identifier: MIT
// labels: golden
// Generation against transformers: rows 12 to 14, 25, 28 and 29 of the specification's list.
#include <deepseek/core/dtype.hpp>
#include <deepseek/infer/session.hpp>

#include "golden/golden.hpp"
#include "golden/golden_model.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

using namespace deepseek_tests;
namespace ds = deepseek;

namespace {

template <class M, class W>
struct Generator {
    ds::Cpu cpu{{.threads = 1}};
    ds::Weights<M, W, ds::Cpu> weights{cpu};
    ds::Session<M, W, ds::Cpu> session{cpu, weights};

    Generator() { fill_golden_set<M>("", weights.params()); }

    /// Logits of every token, read at once.
    std::vector<double> logits(std::span<Token const> tokens) {
        std::vector<double> all;
        session.score(tokens, [&](index_t, auto row) { all.insert(all.end(), row.begin(), row.end()); });
        return all;
    }
};

template <class M, class W>
void check_greedy(std::string const& name) {
    Fixture const fixture(name);
    Generator<M, W> generator;
    auto row = generator.session.prefill(to_tokens(fixture.ints("greedy.prompt")));
    std::vector<index_t> generated;
    while (generated.size() < 64) {
        generated.push_back(std::max_element(row.begin(), row.end()) - row.begin());
        row = generator.session.decode(static_cast<Token>(generated.back()));
    }
    CHECK(generated == fixture.ints("greedy.tokens"));
}

/// The logits of 200 tokens read one by one, through the absorbed form of attention, equal those of the same tokens read
/// at once, through expanded keys and values, and those of transformers. So do those of tokens read in pieces, whose keys
/// come from the cache in both forms, and the last ones read again after truncation.
template <class M>
void check_decoding(std::string const& name) {
    Fixture const fixture(name);
    auto const tokens = to_tokens(fixture.ints("long.tokens"));
    Generator<M, double> generator;
    auto const expanded = generator.logits(tokens);
    CHECK(relative_error(rows_of(expanded, fixture.ints("long.rows"), M::vocabulary),
                         fixture.doubles("long.logits")) <= 1e-12);
    generator.session.truncate(0);
    std::vector<double> in_pieces;
    for (std::size_t begin = 0, size = 1; begin < tokens.size(); begin += size, size = size * 2 + 1) {
        auto const piece = std::span(tokens).subspan(begin, std::min(size, tokens.size() - begin));
        auto const logits = generator.logits(piece);
        in_pieces.insert(in_pieces.end(), logits.begin(), logits.end());
    }
    CHECK(relative_error(in_pieces, expanded) <= 1e-12);
    std::vector<double> absorbed;
    auto const decode_from = [&](index_t begin) {
        generator.session.truncate(begin);
        absorbed.resize(static_cast<std::size_t>(begin * M::vocabulary));
        for (auto const token : std::span(tokens).subspan(static_cast<std::size_t>(begin))) {
            auto const row = generator.session.decode(token);
            absorbed.insert(absorbed.end(), row.begin(), row.end());
        }
    };
    decode_from(0);
    CHECK(relative_error(absorbed, expanded) <= 1e-12);
    auto const before = absorbed;
    decode_from(150);
    CHECK(absorbed == before);
}

template <class M>
void check_bf16(std::string const& name) {
    Fixture const fixture(name);
    Generator<M, ds::bf16> generator;
    auto const expected = fixture.doubles("bf16.logits");
    auto const logits = generator.logits(to_tokens(fixture.ints("bf16.tokens")));
    REQUIRE(logits.size() == expected.size());
    double largest = 0;
    double squares = 0;
    double cosine = 1;
    for (std::size_t row = 0; row < logits.size(); row += M::vocabulary) {
        double ab = 0;
        double aa = 0;
        double bb = 0;
        for (std::size_t i = row; i < row + M::vocabulary; ++i) {
            auto const error = logits[i] - expected[i];
            largest = std::max(largest, std::abs(error));
            squares += error * error;
            ab += logits[i] * expected[i];
            aa += logits[i] * logits[i];
            bb += expected[i] * expected[i];
        }
        cosine = std::min(cosine, ab / std::sqrt(aa * bb));
    }
    auto const rms = std::sqrt(squares / static_cast<double>(logits.size()));
    CHECK(scaled_error(logits, expected) <=
          5e-5);  // only weights are bf16 here, and the fixture's are rounded too
    CHECK(largest <= 2 * fixture.scalar("bf16.error_max"));
    CHECK(rms <= 2 * fixture.scalar("bf16.error_rms"));
    CHECK(cosine > 0.999);
}

}  // namespace

TEST_CASE("generation: 64 greedy tokens equal transformers, T1") {
    check_greedy<T1, double>("t1");
    check_greedy<T1, float>("t1");
}
TEST_CASE("generation: 64 greedy tokens equal transformers, T2") { check_greedy<T2, float>("t2"); }
TEST_CASE("generation: 64 greedy tokens equal transformers, T3") { check_greedy<T3, float>("t3"); }
TEST_CASE("generation: 64 greedy tokens equal transformers, T4") { check_greedy<T4, float>("t4"); }

TEST_CASE("generation: token by token equals all at once and transformers in double, T1") {
    check_decoding<T1>("t1");
}
TEST_CASE("generation: token by token equals all at once and transformers in double, T3 with YaRN") {
    check_decoding<T3>("t3");
}

TEST_CASE("bf16: the error is at most twice that of transformers in bf16, T1") { check_bf16<T1>("t1"); }
TEST_CASE("bf16: the error is at most twice that of transformers in bf16, T3") { check_bf16<T3>("t3"); }

TEST_CASE("generation: a sequence alone has the logits that transformers gives it in a left-padded batch") {
    Fixture const fixture("t1");
    auto const tokens = to_tokens(fixture.ints("padded.tokens"));
    auto const mask = fixture.ints("padded.mask");
    auto const batch = fixture.doubles("padded.logits");
    for (index_t row = 0; row < 2; ++row) {
        CAPTURE(row);
        auto const pads = std::count(mask.begin() + row * 20, mask.begin() + (row + 1) * 20, index_t{0});
        CHECK(pads == (row == 0 ? 7 : 0));
        Generator<T1, float> generator;
        std::vector<double> const expected(batch.begin() + (row * 20 + pads) * 128,
                                           batch.begin() + (row + 1) * 20 * 128);
        auto const logits = generator.logits(std::span(tokens).subspan(
            static_cast<std::size_t>(row * 20 + pads), static_cast<std::size_t>(20 - pads)));
        CHECK(scaled_error(logits, expected) <= 5e-5);
    }
}
