// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_LANGUAGE_MODEL_OF_HPP
#define DEEPSEEK_APP_GENERATE_LANGUAGE_MODEL_OF_HPP

#include <deepseek/app/generate/language_model.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/checkpoint.hpp>
#include <deepseek/infer/session.hpp>
#include <deepseek/model/weights.hpp>

#include <filesystem>
#include <functional>
#include <span>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// On backend B.
template <class M, class B>
class LanguageModelOf : public LanguageModel {
public:
    LanguageModelOf(std::filesystem::path const& directory, typename B::Options const& place, index_t context)
        : be_(place), weights_(load(be_, directory)), session_(be_, weights_, {.max_tokens = context}) {}

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
    using FloatWeights = Weights<M, float, B>;

    static FloatWeights load(B& be, std::filesystem::path const& directory) {
        FloatWeights weights(be);
        format::load_model<M>(be, directory, weights);
        return weights;
    }

    B be_;
    FloatWeights weights_;
    Session<M, float, B> session_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
