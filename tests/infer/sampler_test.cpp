// SPDX-License-Identifier: MIT
#include <deepseek/infer/sampler.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

using namespace deepseek;
using deepseek_tests::error_of;
using deepseek_tests::mentions;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Everything off but the draw.
constexpr Sampling kPlain{.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0};

std::vector<double> logs_of(std::vector<double> probabilities) {
    for (auto& value : probabilities) {
        value = std::log(value);
    }
    return probabilities;
}

std::vector<Candidate> listed(std::vector<double> const& logits) {
    std::vector<Candidate> candidates;
    sampling::list_candidates<double>(candidates, logits);
    return candidates;
}

std::vector<Token> tokens_of(std::vector<Candidate> const& candidates) {
    std::vector<Token> tokens;
    for (auto const& candidate : candidates) {
        tokens.push_back(candidate.token);
    }
    return tokens;
}

// What the sampler chooses at each of `count` positions, as counts per token.
std::vector<double> histogram(Sampling const& options, std::vector<double> const& logits, int count) {
    Sampler sampler(options);
    std::vector<Token> const history(static_cast<std::size_t>(count), 0);
    std::vector<double> counts(logits.size());
    for (std::size_t length = 0; length < history.size(); ++length) {
        auto const token = sampler(std::span<double const>(logits), std::span(history).first(length));
        counts[static_cast<std::size_t>(token)] += 1;
    }
    return counts;
}

// Pearson's statistic of the counts; a token of probability 0 that occurs makes it infinite.
double chi_square(std::vector<double> const& counts, std::vector<double> const& probabilities) {
    auto const total = std::accumulate(counts.begin(), counts.end(), 0.0);
    double sum = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        auto const expected = total * probabilities[i];
        sum +=
            counts[i] == 0 && expected == 0 ? 0 : (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    return sum;
}

}  // namespace

TEST_CASE("sampling: candidates are all tokens in order") {
    auto const candidates = listed({0.5, -2, 3});
    CHECK(tokens_of(candidates) == std::vector<Token>{0, 1, 2});
    CHECK(candidates[1].score == -2);
}

TEST_CASE("sampling: logits that mean nothing are refused with the token they belong to") {
    CHECK(mentions(error_of<Error>([] { listed({}); }), "no logits"));
    CHECK(mentions(error_of<Error>([] { listed({0, kNaN, 0}); }), "token 1", "nan"));
    CHECK(mentions(error_of<Error>([] { listed({0, 0, kInfinity}); }), "token 2", "inf"));
    CHECK(mentions(error_of<Error>([] { listed({-kInfinity, -kInfinity}); }), "all 2", "-infinity"));
    CHECK(listed({-kInfinity, 0}).size() == 2);  // a masked token is fine
    std::vector<float> const single{0, std::numeric_limits<float>::quiet_NaN()};
    CHECK_THROWS_AS((Sampler{kPlain}(std::span<float const>(single), {})), Error);
}

TEST_CASE("sampling: the penalty lowers positive and negative scores") {
    auto candidates = listed({4, -4, 0, 4, -4});
    sampling::penalize(candidates, std::array<Token, 3>{0, 1, 2}, 2);
    CHECK(candidates[0].score == 2);
    CHECK(candidates[1].score == -8);
    CHECK(candidates[2].score == 0);
    CHECK(candidates[3].score == 4);
    CHECK(candidates[4].score == -4);
    CHECK(mentions(error_of<Error>([&] { sampling::penalize(candidates, std::array<Token, 1>{5}, 2); }),
                   "token 5", "ends at 5"));
    CHECK_THROWS_AS(sampling::penalize(candidates, std::array<Token, 1>{-1}, 2), Error);
}

TEST_CASE("sampling: top-k keeps the most likely, of equals the lower token") {
    auto candidates = listed({1, 3, 2, 3, 0});
    sampling::keep_top_k(candidates, 3);
    CHECK(tokens_of(candidates) == std::vector<Token>{1, 3, 2});
    sampling::keep_top_k(candidates, 7);
    CHECK(candidates.size() == 3);
    sampling::keep_top_k(candidates, 0);
    CHECK(candidates.size() == 3);

    auto equal = listed(std::vector<double>(100, 1.0));
    sampling::keep_top_k(equal, 4);
    CHECK(tokens_of(equal) == std::vector<Token>{0, 1, 2, 3});
}

TEST_CASE("sampling: top-p keeps the fewest that reach the mass") {
    auto const kept = [](double mass) {
        auto candidates = listed(logs_of({0.1, 0.5, 0.15, 0.25}));
        sampling::keep_top_p(candidates, mass);
        return tokens_of(candidates);
    };
    CHECK(kept(1e-9) == std::vector<Token>{1});
    CHECK(kept(0.49) == std::vector<Token>{1});
    CHECK(kept(0.51) == std::vector<Token>{1, 3});
    CHECK(kept(0.74) == std::vector<Token>{1, 3});
    CHECK(kept(0.76) == std::vector<Token>{1, 3, 2});
    CHECK(kept(0.91) == std::vector<Token>{1, 3, 2, 0});
    CHECK(kept(1) == std::vector<Token>{0, 1, 2, 3});  // off: untouched
}

TEST_CASE("sampling: top-p of a flat vocabulary keeps its share of tokens, in order") {
    // 1000 equal tokens: the nucleus reaches far beyond what is ordered at first.
    auto candidates = listed(std::vector<double>(1000, -3.0));
    sampling::keep_top_p(candidates, 0.5005);
    std::vector<Token> expected(501);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(tokens_of(candidates) == expected);
}

TEST_CASE("sampling: top-p sees only what is left of the distribution") {
    auto candidates = listed(logs_of({0.4, 0.3, 0.2, 0.1}));
    sampling::keep_top_k(candidates, 2);  // 4/7 and 3/7
    sampling::keep_top_p(candidates, 0.56);
    CHECK(tokens_of(candidates) == std::vector<Token>{0});
}

TEST_CASE("sampling: min-p is relative to the most likely token") {
    auto const kept = [](double ratio) {
        auto candidates = listed(logs_of({0.1, 0.5, 0.15, 0.25}));
        sampling::keep_min_p(candidates, ratio);
        return tokens_of(candidates);
    };
    CHECK(kept(0) == std::vector<Token>{0, 1, 2, 3});
    CHECK(kept(0.19) == std::vector<Token>{0, 1, 2, 3});
    CHECK(kept(0.21) == std::vector<Token>{1, 2, 3});
    CHECK(kept(0.31) == std::vector<Token>{1, 3});
    CHECK(kept(1) == std::vector<Token>{1});
}

TEST_CASE("sampling: temperature divides differences, however small it is") {
    auto candidates = listed({1, 3, -kInfinity});
    sampling::apply_temperature(candidates, 4);
    CHECK(candidates[0].score == -0.5);
    CHECK(candidates[1].score == 0);
    CHECK(candidates[2].score == -kInfinity);

    auto cold = listed({1, 700, 699});
    sampling::apply_temperature(cold, 1e-310);
    CHECK(cold[1].score == 0);
    CHECK(sampling::draw(cold, 0.999) == 1);
}

TEST_CASE("sampling: a draw gives each candidate its part of the unit interval") {
    std::vector<Candidate> const candidates{{7, std::log(0.25)}, {3, std::log(0.5)}, {9, std::log(0.25)}};
    CHECK(sampling::draw(candidates, 0) == 7);
    CHECK(sampling::draw(candidates, 0.24) == 7);
    CHECK(sampling::draw(candidates, 0.26) == 3);
    CHECK(sampling::draw(candidates, 0.74) == 3);
    CHECK(sampling::draw(candidates, 0.76) == 9);
    CHECK(sampling::draw(candidates, std::nextafter(1.0, 0.0)) == 9);
}

TEST_CASE("sampling: an impossible candidate is never drawn") {
    std::vector<Candidate> const candidates{{0, -kInfinity}, {1, 0}, {2, -kInfinity}};
    CHECK(sampling::draw(candidates, 0) == 1);
    CHECK(sampling::draw(candidates, std::nextafter(1.0, 0.0)) == 1);
}

TEST_CASE("Sampler: temperature 0 takes the most likely token, of equals the lowest") {
    Sampler sampler({.temperature = 0});
    std::vector<float> const logits{1, 5, 5, 2};
    CHECK(sampler(std::span<float const>(logits), {}) == 1);
}

TEST_CASE("Sampler: temperature 0 obeys the repetition penalty") {
    std::vector<double> const logits{1, 5, 4, 2};
    std::vector<Token> const history{2, 1, 0};
    auto const chosen = [&](index_t last) {
        Sampler sampler({.temperature = 0, .repeat_penalty = 10, .repeat_last = last});
        return sampler(std::span<double const>(logits), std::span<Token const>(history));
    };
    CHECK(chosen(0) == 1);   // nothing is penalised
    CHECK(chosen(1) == 1);   // only token 0
    CHECK(chosen(2) == 2);   // token 1 as well
    CHECK(chosen(3) == 3);   // token 2 as well
    CHECK(chosen(-1) == 3);  // all
    CHECK(chosen(64) == 3);  // more than there are
}

TEST_CASE("Sampler: a token is penalised once, however often it occurred") {
    std::vector<double> const logits{8, 3};
    std::vector<Token> const history{0, 0, 0, 0};
    Sampler sampler({.temperature = 0, .repeat_penalty = 2});
    CHECK(sampler(std::span<double const>(logits), std::span<Token const>(history)) == 0);  // 4 against 3
}

TEST_CASE("Sampler: a choice depends on seed and position, not on earlier choices") {
    std::vector<double> const logits(50, 0.0);
    std::vector<Token> const history(200, 0);
    auto const choose = [&](Sampler& sampler, std::size_t length) {
        return sampler(std::span<double const>(logits), std::span(history).first(length));
    };
    auto const options = [](std::uint64_t seed) {
        auto plain = kPlain;
        plain.seed = Seed{seed};
        return plain;
    };
    Sampler forward(options(1));
    Sampler backward(options(1));
    Sampler other(options(2));
    std::vector<Token> a;
    std::vector<Token> b(history.size());
    std::vector<Token> c;
    for (std::size_t i = 0; i < history.size(); ++i) {
        a.push_back(choose(forward, i));
        b[history.size() - 1 - i] = choose(backward, history.size() - 1 - i);
        c.push_back(choose(other, i));
    }
    CHECK(a == b);
    CHECK(a != c);
}

// The bounds are the 0.999 quantiles of chi-square; seeds are fixed, so these cases pass always or never.
TEST_CASE("Sampler: frequencies are the softmax of the logits") {
    std::vector<double> const p{0.05, 0.3, 0.2, 0.15, 0.02, 0.08, 0.1, 0.1};
    CHECK(chi_square(histogram(kPlain, logs_of(p), 40'000), p) < 24.3);  // 7 degrees of freedom
}

TEST_CASE("Sampler: frequencies at a temperature are powers of the probabilities") {
    auto options = kPlain;
    options.temperature = 0.5;  // probabilities squared
    CHECK(chi_square(histogram(options, logs_of({0.4, 0.3, 0.2, 0.1}), 40'000),
                     {16. / 30, 9. / 30, 4. / 30, 1. / 30}) < 16.3);  // 3 degrees of freedom
}

TEST_CASE("Sampler: filters see the distribution before the temperature") {
    // At temperature 0.25 the first token alone would hold 0.67 of the mass; before it, 0.4: top-p keeps two.
    Sampling const options{.temperature = 0.25, .top_k = 3, .top_p = 0.6, .min_p = 0.1};
    auto const first = std::pow(0.4, 4);
    auto const second = std::pow(0.3, 4);
    CHECK(chi_square(histogram(options, logs_of({0.2, 0.4, 0.3, 0.1}), 40'000),
                     {0, first / (first + second), second / (first + second), 0}) <
          10.8);  // 1 degree of freedom
}

TEST_CASE("Sampling: options that make no sense are refused by name") {
    auto const complaint = [](auto member, auto value) {
        Sampling options;
        options.*member = value;
        return error_of<Error>([&] { Sampler{options}; });
    };
    CHECK(mentions(complaint(&Sampling::temperature, -0.1), "temperature", "-0.1"));
    CHECK(mentions(complaint(&Sampling::temperature, kInfinity), "temperature"));
    CHECK(mentions(complaint(&Sampling::temperature, kNaN), "temperature"));
    CHECK(mentions(complaint(&Sampling::top_k, index_t{-1}), "top_k", "-1"));
    CHECK(mentions(complaint(&Sampling::top_p, 0.0), "top_p"));
    CHECK(mentions(complaint(&Sampling::top_p, 1.5), "top_p", "1.5"));
    CHECK(mentions(complaint(&Sampling::top_p, kNaN), "top_p"));
    CHECK(mentions(complaint(&Sampling::min_p, -0.5), "min_p"));
    CHECK(mentions(complaint(&Sampling::min_p, 2.0), "min_p"));
    CHECK(mentions(complaint(&Sampling::repeat_penalty, 0.0), "repeat_penalty"));
    CHECK(mentions(complaint(&Sampling::repeat_penalty, kInfinity), "repeat_penalty"));
    CHECK(mentions(complaint(&Sampling::repeat_last, index_t{-2}), "repeat_last", "-2"));
    CHECK_NOTHROW(Sampler{Sampling{}});
}
