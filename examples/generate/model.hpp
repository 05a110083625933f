// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_GENERATE_MODEL_HPP
#define DEEPSEEK_EXAMPLES_GENERATE_MODEL_HPP

#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/infer/session.hpp>
#include <deepseek/io/checkpoint.hpp>
#include <deepseek/model/weights.hpp>

#include "language_model.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <utility>

namespace deepseek_examples {

template <class M>
class LanguageModelOf : public LanguageModel {
public:
    LanguageModelOf(std::filesystem::path const& directory, int threads, ds::index_t context)
        : cpu_({.threads = threads}),
          weights_(load(cpu_, directory)),
          session_(cpu_, weights_, {.max_tokens = context}) {}

    ModelFacts facts() const override { return facts_of<M>(); }
    ds::index_t max_tokens() const override { return session_.max_tokens(); }
    ds::index_t position() const override { return session_.position(); }
    void truncate(ds::index_t length) override { session_.truncate(length); }
    std::span<float const> read(std::span<ds::Token const> tokens) override {
        return session_.prefill(tokens);
    }
    void score(std::span<ds::Token const> tokens,
               std::function<void(ds::index_t, std::span<float const>)> const& visit) override {
        session_.score(tokens, visit);
    }

private:
    using Weights = ds::Weights<M, float, ds::Cpu>;

    static Weights load(ds::Cpu& cpu, std::filesystem::path const& directory) {
        Weights weights(cpu);
        ds::io::load_model<M>(cpu, directory, weights);
        return weights;
    }

    ds::Cpu cpu_;
    Weights weights_;
    ds::Session<M, float, ds::Cpu> session_;
};

template <class M>
std::unique_ptr<LanguageModel> load_language_model(std::filesystem::path const& directory, int threads,
                                                   ds::index_t context) {
    return std::make_unique<LanguageModelOf<M>>(directory, threads, context);
}

}  // namespace deepseek_examples

#endif
