// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_INTEROP_HUGGINGFACE_CHECK_HPP
#define DEEPSEEK_TESTS_INTEROP_HUGGINGFACE_CHECK_HPP

#include <deepseek/backend/cpu.hpp>
#include <deepseek/format/checkpoint.hpp>
#include <deepseek/model.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

// One half of huggingface.py.

namespace deepseek_interop {

namespace ds = deepseek;

/// Writes the logits of 20 tokens, and on a last line the 12 tokens that greedy decoding appends.
template <class M>
void write_answers(ds::Cpu& cpu, ds::Weights<M, double, ds::Cpu> const& weights,
                   std::filesystem::path const& file) {
    std::vector<ds::Token> tokens;
    for (ds::Token i = 0; i < 20; ++i) {
        tokens.push_back((7 * i * i + 3 * i + 1) % static_cast<ds::Token>(M::vocabulary));
    }
    std::string text;
    ds::Session session{cpu, weights, {.max_tokens = 40}};
    session.score(tokens, [&](ds::index_t, auto logits) {
        for (auto const logit : logits) {
            char number[40];
            std::snprintf(number, sizeof number, "%.17g ", logit);
            text += number;
        }
        text += '\n';
    });
    session.truncate(0);
    auto logits = session.prefill(tokens);
    for (int step = 0; step < 12; ++step) {
        auto const next =
            static_cast<ds::Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        text += std::to_string(next) + ' ';
        logits = session.decode(next);
    }
    ds::write_file_atomically(file, text + '\n');
}

/// Answers with the model in folder/theirs, and with one of our own that it leaves in folder/ours.
template <class M>
void check(std::filesystem::path const& folder) {
    ds::Cpu cpu{{.threads = 1}};
    ds::Weights<M, double, ds::Cpu> weights{cpu};
    ds::format::load_model(cpu, folder / "theirs", weights);
    write_answers<M>(cpu, weights, folder / "theirs.answers");
    ds::initialize(cpu, weights, ds::Seed{7});
    ds::format::save_model(cpu, folder / "ours", weights);
    write_answers<M>(cpu, weights, folder / "ours.answers");
}

}  // namespace deepseek_interop

#endif
