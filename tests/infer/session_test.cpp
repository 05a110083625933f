// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace ds = deepseek;

namespace {

using Attention = ds::MLA<32, 4, 12, 16, 4, 8, 8>;
using M = ds::Model<ds::Vocabulary<50>, ds::Blocks<1, Attention, ds::SwiGLU<48>>,
                    ds::Blocks<2, Attention, ds::MoE<8, 2, 16, 16>>, ds::MTP<1>,
                    ds::Options<ds::ModelOptions{.init_deviation = 0.3, .context = 300}>>;
using Weights = ds::Weights<M, float, ds::Cpu>;
using Session = ds::Session<M, float, ds::Cpu>;

std::vector<ds::Token> some_tokens(std::size_t count) {
    std::vector<ds::Token> tokens(count);
    for (std::size_t i = 0; i < count; ++i) {
        tokens[i] = static_cast<ds::Token>(ds::RandomKey{ds::Seed{6}}.bits(i) % 50);
    }
    return tokens;
}

ds::Token greedy(std::span<float const> logits) {
    return static_cast<ds::Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// The same by recomputing the whole sequence in the training form. One more token behind, which no earlier one sees,
// makes sequences of one token long enough for the MTP module.
std::vector<float> last_logits(ds::Cpu& cpu, Weights const& weights, std::vector<ds::Token> tokens) {
    auto const count = static_cast<ds::index_t>(tokens.size());
    tokens.push_back(0);
    ds::Arena<ds::Cpu> arena(cpu);
    auto const tape =
        M::forward<float>(cpu, {.length = count + 1}, weights.view(), {tokens, tokens, 1, count + 1}, arena);
    std::vector<float> logits(50);
    M::logits(cpu, weights.view(), ds::Rows<float, 50>{logits.data(), 1}, tape.output.slice(count - 1, 1));
    return logits;
}

}  // namespace

TEST_CASE("Session: greedy decoding from the cache equals greedy decoding by recomputing") {
    ds::Cpu cpu{{.threads = 2}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{12});
    auto tokens = some_tokens(17);
    Session session{cpu, weights, {.max_tokens = 120}};
    auto next = greedy(session.prefill(tokens));
    for (int i = 0; i < 100; ++i) {
        auto const expected = greedy(last_logits(cpu, weights, tokens));
        REQUIRE(next == expected);
        tokens.push_back(next);
        next = greedy(session.decode(next));
    }
}

TEST_CASE("Session: prompts of any length give the logits of a forward pass") {
    ds::Cpu cpu{{.threads = 2}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{13});
    for (std::size_t const count : {1UL, 2UL, 8UL, 9UL, 255UL, 256UL, 257UL, 300UL}) {
        auto const tokens = some_tokens(count);
        Session session{cpu, weights};
        auto const logits = session.prefill(tokens);
        auto const expected = last_logits(cpu, weights, tokens);
        double worst = 0;
        for (std::size_t i = 0; i < logits.size(); ++i) {
            worst = std::max(worst, static_cast<double>(std::abs(logits[i] - expected[i])));
        }
        CAPTURE(count);
        CHECK(worst < 2e-4);  // logits of order 10, float, other rounding in the absorbed form
        CHECK(session.position() == static_cast<ds::index_t>(count));
    }
}

TEST_CASE("Session: truncating and going on equals a fresh run") {
    ds::Cpu cpu{{.threads = 1}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{14});
    auto const tokens = some_tokens(30);
    Session session{cpu, weights};
    session.prefill(tokens);
    session.truncate(20);
    auto const again = session.prefill(std::span(tokens).subspan(20));
    std::vector<float> const kept(again.begin(), again.end());
    Session fresh{cpu, weights};
    fresh.prefill(std::span(tokens).first(20));
    auto const expected = fresh.prefill(std::span(tokens).subspan(20));
    CHECK(std::equal(kept.begin(), kept.end(), expected.begin()));
}

TEST_CASE("Session: score visits every token with the logits of the next") {
    ds::Cpu cpu{{.threads = 2}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{15});
    auto const tokens = some_tokens(270);
    Session session{cpu, weights};
    ds::index_t visited = 0;
    session.score(tokens, [&](ds::index_t i, std::span<float const> logits) {
        CHECK(i == visited++);
        if (i % 90 == 89) {
            auto const expected = last_logits(
                cpu, weights, {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(i) + 1});
            for (std::size_t v = 0; v < logits.size(); ++v) {
                CHECK(std::abs(logits[v] - expected[v]) < 2e-4F);
            }
        }
    });
    CHECK(visited == 270);
}

TEST_CASE("Session: bf16 weights give the logits of the rounded weights") {
    ds::Cpu cpu{{.threads = 2}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{16});
    ds::Weights<M, ds::bf16, ds::Cpu> small{cpu};
    ds::copy_weights(cpu, small, weights);
    ds::copy_weights(cpu, weights, small);
    auto const tokens = some_tokens(40);
    Session session{cpu, weights};
    ds::Session<M, ds::bf16, ds::Cpu> small_session{cpu, small};
    auto const expected = session.prefill(tokens);
    auto const logits = small_session.prefill(tokens);
    for (std::size_t i = 0; i < logits.size(); ++i) {
        CHECK(std::abs(logits[i] - expected[i]) < 2e-4F);
    }
}

TEST_CASE("Session: what does not fit is refused and changes nothing") {
    ds::Cpu cpu{{.threads = 1}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{17});
    Session session{cpu, weights, {.max_tokens = 5}};
    auto const tokens = some_tokens(6);
    CHECK_THROWS_WITH_AS(session.prefill(tokens), "Session: 6 tokens do not fit behind 0 of 5", ds::Error);
    CHECK_THROWS_AS(session.prefill({}), ds::Error);
    ds::Token const outside[] = {1, 50};
    CHECK_THROWS_WITH_AS(session.prefill(outside),
                         "Session: the token at position 1 is 50, outside the vocabulary of 50", ds::Error);
    CHECK(session.position() == 0);
    session.prefill(std::span(tokens).first(5));
    CHECK(session.full());
    CHECK_THROWS_AS(session.decode(1), ds::Error);
    CHECK_THROWS_AS(session.truncate(6), ds::Error);
    CHECK_THROWS_AS((Session{cpu, weights, {.max_tokens = -1}}), ds::Error);
}

static_assert(ds::cache_bytes_per_token<M, float> == 3 * (12 + 4) * 4);
