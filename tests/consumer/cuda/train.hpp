// SPDX-License-Identifier: MIT
#ifndef TRAIN_HPP
#define TRAIN_HPP

#include <deepseek/model.hpp>

#include <span>
#include <vector>

using M = deepseek::Model<deepseek::Vocabulary<20>,
                          deepseek::Blocks<1, deepseek::MLA<16, 2, 8>, deepseek::SwiGLU<24>>>;

/// The loss after some steps.
template <class B>
double train(B& be) {
    namespace ds = deepseek;
    ds::Weights<M, float, B> weights{be};
    ds::initialize(be, weights, ds::Seed{1});
    ds::Trainer<M, float, B> trainer{be, weights, {.schedule = {.peak = 1e-2, .total = 10}}};
    std::vector<ds::Token> text;
    for (ds::Token i = 0; i < 17; ++i) {
        text.push_back(i * i % 20);
    }
    std::span const all(text);
    ds::Batch const batch{all.first(16), all.last(16), 1, 16};
    double loss = 0;
    for (int step = 0; step < 5; ++step) {
        loss = trainer.step(std::span(&batch, 1)).losses.main;
    }
    return loss;
}

bool has_gpu();
double train_on_gpu();

#endif
