// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_MODEL_HPP
#define DEEPSEEK_APP_GENERATE_MODEL_HPP

#include <deepseek/app/generate/language_model.hpp>
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/checkpoint.hpp>
#include <deepseek/infer/session.hpp>
#include <deepseek/model/weights.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::app {

template <class M>
class LanguageModelOf : public LanguageModel {
public:
    LanguageModelOf(std::filesystem::path const& directory, int threads, index_t context)
        : cpu_({.threads = threads}),
          weights_(load(cpu_, directory)),
          session_(cpu_, weights_, {.max_tokens = context}) {}

    ModelFacts facts() const override { return facts_of<M>(); }
    index_t max_tokens() const override { return session_.max_tokens(); }
    index_t position() const override { return session_.position(); }
    void truncate(index_t length) override { session_.truncate(length); }
    std::span<float const> read(std::span<Token const> tokens) override { return session_.prefill(tokens); }
    void score(std::span<Token const> tokens,
               std::function<void(index_t, std::span<float const>)> const& visit) override {
        session_.score(tokens, visit);
    }

private:
    using FloatWeights = Weights<M, float, Cpu>;

    static FloatWeights load(Cpu& cpu, std::filesystem::path const& directory) {
        FloatWeights weights(cpu);
        format::load_model<M>(cpu, directory, weights);
        return weights;
    }

    Cpu cpu_;
    FloatWeights weights_;
    Session<M, float, Cpu> session_;
};

template <class M>
std::unique_ptr<LanguageModel> load_language_model(std::filesystem::path const& directory, int threads,
                                                   index_t context) {
    return std::make_unique<LanguageModelOf<M>>(directory, threads, context);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
