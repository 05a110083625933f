// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace ds = deepseek;

namespace {

using M = ds::Model<ds::Vocabulary<50>, ds::Blocks<2, ds::MLA<16, 2, 8>, ds::SwiGLU<24>>,
                    ds::Options<ds::ModelOptions{.init_deviation = 0.3}>>;

struct Fixture {
    ds::Cpu cpu{{.threads = 1}};
    ds::Weights<M, float, ds::Cpu> weights{cpu};
    Fixture() { ds::initialize(cpu, weights, ds::Seed{3}); }

    auto session(ds::index_t max_tokens = 100) {
        return ds::Session<M, float, ds::Cpu>{cpu, weights, {.max_tokens = max_tokens}};
    }
    // What a plain loop writes.
    std::vector<ds::Token> by_hand(std::vector<ds::Token> text, int count) {
        auto session = this->session();
        ds::Sampler sampler{{.seed = {5}}};
        auto logits = session.prefill(text);
        for (int i = 0; i < count; ++i) {
            text.push_back(sampler(logits, text));
            logits = session.decode(text.back());
        }
        return text;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture,
                  "generate: writes what a loop of sampler and session writes, one callback per token") {
    std::vector<ds::Token> const prompt{1, 2, 3};
    auto const expected = by_hand(prompt, 20);
    auto session = this->session();
    ds::Sampler sampler{{.seed = {5}}};
    auto text = prompt;
    auto seen = prompt;
    auto const note = [&](ds::Token token) { seen.push_back(token); };
    CHECK(ds::generate(session, sampler, text, {.max_new = 12}, note) == ds::Ending::length);
    CHECK(text.size() == 15);
    CHECK(ds::generate(session, sampler, text, {.max_new = 8}, note) == ds::Ending::length);  // goes on
    CHECK(text == expected);
    CHECK(seen == expected);
}

TEST_CASE_FIXTURE(Fixture,
                  "generate: ends at an end token, when the callback says so, and when the session is full") {
    std::vector<ds::Token> const prompt{1, 2, 3};
    auto const expected = by_hand(prompt, 20);
    auto const first = [&](ds::Token token) {  // where a token is written first
        std::size_t at = 3;
        while (expected[at] != token) {
            ++at;
        }
        return at;
    };
    ds::Token const end = expected[9];
    int calls = 0;
    auto const count = [&](ds::Token) { ++calls; };
    {
        auto session = this->session();
        ds::Sampler sampler{{.seed = {5}}};
        auto text = prompt;
        CHECK(ds::generate(session, sampler, text, {.end = {&end, 1}}, count) == ds::Ending::end);
        CHECK(text.size() == first(end) + 1);
        CHECK(text.back() == end);
        CHECK(calls == static_cast<int>(first(end)) - 3);
    }
    {
        auto session = this->session();
        ds::Sampler sampler{{.seed = {5}}};
        auto text = prompt;
        CHECK(ds::generate(session, sampler, text, {}, [&](ds::Token) { return text.size() < 7; }) ==
              ds::Ending::callback);
        CHECK(text.size() == 7);
    }
    {
        auto session = this->session(8);
        ds::Sampler sampler{{.seed = {5}}};
        auto text = prompt;
        CHECK(ds::generate(session, sampler, text, {.max_new = -1}, count) == ds::Ending::context);
        CHECK(text.size() == 9);  // the last token needs no place: it was not read
        CHECK(session.full());
    }
}

TEST_CASE_FIXTURE(Fixture,
                  "generate: nothing to read, or nothing that fits, is an error and changes nothing") {
    auto session = this->session(4);
    ds::Sampler sampler{{}};
    auto const ignore = [](ds::Token) {};
    std::vector<ds::Token> text;
    CHECK_THROWS_WITH_AS(ds::generate(session, sampler, text, {}, ignore),
                         doctest::Contains("a text of 0 tokens, of which the session has read 0"), ds::Error);
    text = {1, 2, 3, 4, 5};
    CHECK_THROWS_AS(ds::generate(session, sampler, text, {}, ignore), ds::Error);
    text = {1, 50};
    CHECK_THROWS_AS(ds::generate(session, sampler, text, {}, ignore), ds::Error);
    CHECK(session.position() == 0);
    text = {1, 2};
    CHECK(ds::generate(session, sampler, text, {.max_new = 0}, ignore) == ds::Ending::length);
    CHECK(text.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "generate: any function of logits and history is a sampler") {
    auto const greedy = [](std::span<float const> logits, std::span<ds::Token const>) {
        return static_cast<ds::Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    };
    std::vector<ds::Token> seen_lengths;
    struct Counting {  // one with state, passed by reference
        std::vector<ds::Token>* lengths;
        ds::Sampler sampler{{.temperature = 0}};
        ds::Token operator()(std::span<float const> logits, std::span<ds::Token const> history) {
            lengths->push_back(static_cast<ds::Token>(history.size()));
            return sampler(logits, history);
        }
    };
    auto const ignore = [](ds::Token) {};
    std::vector<ds::Token> by_function{1, 2, 3};
    auto by_object = by_function;
    auto session = this->session();
    CHECK(ds::generate(session, greedy, by_function, {.max_new = 9}, ignore) == ds::Ending::length);
    auto other = this->session();
    Counting counting{&seen_lengths};
    CHECK(ds::generate(other, counting, by_object, {.max_new = 9}, ignore) == ds::Ending::length);
    CHECK(by_function.size() == 12);
    CHECK(by_function == by_object);
    CHECK(seen_lengths == std::vector<ds::Token>{3, 4, 5, 6, 7, 8, 9, 10, 11});

    auto const wrong = [](auto, auto) { return 50; };
    std::vector<ds::Token> text{1};
    auto third = this->session();
    CHECK_THROWS_WITH_AS(ds::generate(third, wrong, text, {}, ignore),
                         "generate: the sampler returned token 50, outside the vocabulary of 50", ds::Error);
    CHECK(text.size() == 1);
}
