// SPDX-License-Identifier: MIT
// Generation: a Session remembers what was read, a Sampler chooses what comes next.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ds = deepseek;

using Model = ds::Model<ds::Vocabulary<256>, ds::Blocks<2, ds::MLA<64, 4, 32>, ds::SwiGLU<128>>>;
using Weights = ds::Weights<Model, float, ds::Cpu>;

constexpr std::string_view kSentences[] = {"The cat sleeps all day.", "The dog barks at night.",
                                           "The owl reads old maps."};

// Something to say: three sentences of 23 bytes, learned by heart (see 03_train.cpp).
void learn(ds::Cpu& cpu, Weights& weights) {
    std::vector<ds::Token> tokens, targets;
    for (auto const sentence : kSentences) {
        tokens.insert(tokens.end(), sentence.begin(), sentence.end() - 1);
        targets.insert(targets.end(), sentence.begin() + 1, sentence.end());
    }
    ds::Batch const batch{tokens, targets, 3, 22};  // 3 sequences of 22 tokens, one after the other
    ds::Trainer trainer{cpu, weights, {.schedule = {.peak = 1e-2, .warmup = 10, .total = 100}}};
    for (int step = 0; step < 100; ++step) {
        trainer.step({&batch, 1});
    }
}

// Continues a prompt until the sentence ends or the session is full.
std::string write(ds::Cpu& cpu, Weights const& weights, std::string_view prompt, ds::Sampling const& how) {
    ds::Session session{cpu, weights, {.max_tokens = 100}};
    ds::Sampler sampler{how};
    std::vector<ds::Token> tokens(prompt.begin(), prompt.end());
    auto logits = session.prefill(tokens);  // reads the prompt in one go; the logits of what follows
    while (tokens.back() != '.' && !session.full()) {
        tokens.push_back(sampler(logits, tokens));  // a function of logits, history and seed, nothing else
        logits = session.decode(tokens.back());     // reads one token more
    }
    return {tokens.begin(), tokens.end()};
}

int main() {
    ds::Cpu cpu;
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    learn(cpu, weights);

    // Temperature 0 always takes the most likely token.
    std::printf("%s\n", write(cpu, weights, "The dog", {.temperature = 0}).c_str());

    // Otherwise the seed decides. Three animals are equally likely behind "The"; top_k, top_p and min_p keep the
    // unlikely rest away.
    std::set<std::string> told;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        told.insert(write(cpu, weights, "The", {.temperature = 1, .min_p = 0.1, .seed = {seed}}));
    }
    bool known = true;
    for (auto const& text : told) {
        known = known && std::ranges::find(kSentences, text) != std::end(kSentences);
    }
    std::printf("ten seeds tell more than one sentence: %s\n", told.size() > 1 ? "yes" : "no");
    std::printf("all of them were learned:              %s\n", known ? "yes" : "no");

    // Nothing else does: the same seed writes the same text.
    auto const once = write(cpu, weights, "The", {.seed = {7}});
    auto const again = write(cpu, weights, "The", {.seed = {7}});
    std::printf("the same seed repeats itself:          %s\n", once == again ? "yes" : "no");

    // ds::generate is that loop, with a callback for every token: text appears as it is written.
    ds::Session session{cpu, weights, {.max_tokens = 100}};
    ds::Sampler sampler{{.temperature = 0}};
    std::vector<ds::Token> tokens{'T', 'h', 'e', ' ', 'o', 'w', 'l'};
    ds::Token const end = '.';
    ds::generate(session, sampler, tokens, {.max_new = 50, .end = {&end, 1}},
                 [](ds::Token token) { std::putchar(token); });
    std::puts(".");

    // What a sequence remembers per token: one latent and one rotary key per block, for all heads together.
    std::printf("cache: %lld bytes per token\n",
                static_cast<long long>(ds::cache_bytes_per_token<Model, float>));
}
