// SPDX-License-Identifier: MIT
// Generation on the emulated device: the same as on the Cpu, and what it asks of a device.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/emulated.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace ds = deepseek;

namespace {

using Attention = ds::MLA<16, 2, 6, 8, 4, 4, 4>;
using M = ds::Model<ds::Vocabulary<50>, ds::Blocks<1, Attention, ds::SwiGLU<24>>,
                    ds::Blocks<2, Attention, ds::MoE<4, 2, 12, 8>>, ds::MTP<1>,
                    ds::Options<ds::ModelOptions{.init_deviation = 0.3, .context = 300}>>;

std::vector<ds::Token> some_tokens(std::size_t count) {
    std::vector<ds::Token> tokens(count);
    for (std::size_t i = 0; i < count; ++i) {
        tokens[i] = static_cast<ds::Token>(ds::RandomKey{ds::Seed{6}}.bits(i) % 50);
    }
    return tokens;
}

template <class T>
struct Result {
    std::vector<T> prefilled, decoded, scored;
    std::vector<ds::Token> text;
};

// A prompt of more than one chunk, single tokens, going back, scores, and a text.
template <class W, class B>
Result<ds::accumulate_t<W>> run(B& be) {
    using T = ds::accumulate_t<W>;
    ds::Weights<M, T, B> wide{be};
    ds::initialize(be, wide, ds::Seed{12});
    ds::Weights<M, W, B> weights{be};
    ds::copy_weights(be, weights, wide);
    ds::Session session{be, weights};
    Result<T> result;
    auto const copy = [](std::span<T const> logits) { return std::vector<T>(logits.begin(), logits.end()); };
    auto const tokens = some_tokens(270);
    result.prefilled = copy(session.prefill(tokens));
    session.decode(3);
    session.truncate(200);
    session.decode(7);
    result.decoded = copy(session.decode(9));
    session.truncate(0);
    session.score(std::span(tokens).first(5), [&](ds::index_t, std::span<T const> logits) {
        result.scored.insert(result.scored.end(), logits.begin(), logits.end());
    });
    session.truncate(0);
    ds::Sampler sampler{{.temperature = 0}};
    result.text = {1, 2, 3};
    ds::generate(session, sampler, result.text, {.max_new = 60}, [](ds::Token) {});
    return result;
}

template <class T>
double difference(std::vector<T> const& a, std::vector<T> const& b) {
    REQUIRE(a.size() == b.size());
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        auto const error = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        worst = error <= worst || std::isnan(worst) ? worst : error;  // NaN stays
    }
    return worst;
}

template <class W>
void check_same(double bound) {
    ds::Cpu cpu{{.threads = 2}};
    ds::Emulated device{{.order = ds::gpu::Order::scattered}};
    auto const expected = run<W>(cpu);
    auto const given = run<W>(device);
    CHECK(difference(given.prefilled, expected.prefilled) < bound);
    CHECK(difference(given.decoded, expected.decoded) < bound);
    CHECK(difference(given.scored, expected.scored) < bound);
    CHECK(given.text == expected.text);
}

}  // namespace

TEST_CASE("Session: logits and texts on the emulated device are the Cpu's") {
    check_same<double>(1e-11);
    check_same<float>(2e-4);  // logits of order 10
    check_same<ds::bf16>(2e-4);
}

TEST_CASE("Session: a decoded token costs a device one upload and one wait, and no allocation") {
    ds::Emulated be;
    ds::Weights<M, float, ds::Emulated> weights{be};
    ds::initialize(be, weights, ds::Seed{13});
    ds::Session session{be, weights};
    session.prefill(some_tokens(20));
    session.decode(1);
    session.decode(2);
    for (ds::Token token = 3; token < 40; ++token) {
        auto const start = be.counts();
        session.decode(token);
        auto const taken = be.counts() - start;
        CHECK(taken.waits == 1);
        CHECK(taken.uploads == 1);
        CHECK(taken.downloads == 1);
        CHECK(taken.allocations == 0);
        CHECK(taken.frees == 0);
    }
}
