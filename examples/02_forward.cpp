// SPDX-License-Identifier: MIT
// A backend says where a model runs, Weights hold its parameters, a Session turns tokens into logits.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace ds = deepseek;

using Attention = ds::MLA<64, 4, 32>;  // width, heads, width of the latent
using Model = ds::Model<ds::Vocabulary<100>, ds::Blocks<2, Attention, ds::MoE<8, 2, 64, 64>>>;

// The logits of the token that follows `tokens`.
std::vector<float> logits(ds::Cpu& cpu, ds::Weights<Model, float, ds::Cpu> const& weights,
                          std::vector<ds::Token> const& tokens) {
    ds::Session session{cpu, weights};
    auto const view = session.prefill(tokens);  // belongs to the session: valid until it reads on
    return {view.begin(), view.end()};
}

int main() {
    auto const print = [](char const* what, bool holds) {
        std::printf("%-58s %s\n", what, holds ? "yes" : "no");
    };

    // Backends and weights are ordinary objects: no globals, as many as you like, freed at the end of their scope.
    ds::Cpu cpu{{.threads = 2}};
    ds::Weights<Model, float, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});

    std::vector<ds::Token> const tokens{3, 14, 15, 92, 65};
    auto const all = logits(cpu, weights, tokens);
    std::printf("%zu tokens in, %zu logits out\n", tokens.size(), all.size());

    // Fresh weights know nothing: every token is about as likely as any other.
    double largest = 0;
    for (float const logit : all) {
        largest = std::max(largest, std::abs(static_cast<double>(logit)));
    }
    print("no logit of fresh weights is far from 0", largest < 1);

    // Read one by one, tokens give what they give at once, up to rounding: the session's cache remembers the others.
    ds::Session session{cpu, weights};
    for (auto const token : tokens) {
        session.decode(token);
    }
    session.truncate(session.position() - 1);               // going back: forgets the last token,
    auto const one_by_one = session.decode(tokens.back());  // which is read once more
    float difference = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        difference = std::max(difference, std::abs(one_by_one[i] - all[i]));
    }
    print("token by token gives the same logits", difference < 1e-4F);

    // The same bits for any number of threads, not nearly the same.
    ds::Cpu alone{{.threads = 1}};
    ds::Weights<Model, float, ds::Cpu> copy{alone};
    ds::initialize(alone, copy, ds::Seed{1});
    print("one thread and two give the same bits", logits(alone, copy, tokens) == all);

    // Bad input is an exception that says what is wrong, never a crash.
    try {
        session.decode(100);
    } catch (ds::Error const& error) {
        std::printf("%s\n", error.what());
    }
}
