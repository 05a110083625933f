// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_GENERATE_GENERATION_HPP
#define DEEPSEEK_EXAMPLES_GENERATE_GENERATION_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/infer/sampler.hpp>
#include <deepseek/text/tokenizer.hpp>

#include "language_model.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace deepseek_examples {

/// What the command line of `generate` says.
struct GenerateSettings {
    std::string model;
    std::string prompt;
    ds::index_t count = 128;  ///< of tokens to generate; -1: until the text ends or the context is full
    ds::index_t context = 0;  ///< 0: the model's
    int samples = 1;
    ds::Sampling sampling;
    std::vector<std::string> stops;
    bool ignore_end = false;
    bool interactive = false;
    bool show_prompt = true;
    bool json = false;
    bool begin_token = true;  ///< put the begin-of-text token, or that between documents, before the prompt
    std::string perplexity;   ///< file to score instead of generating
    int threads = 0;
};

/// One call of `generate`.
class Generation {
public:
    /// `begin` is the token before every text, `end` the one after it, where there are such.
    ///
    /// Errors:    Error if the tokenizer has more tokens than the model
    Generation(GenerateSettings const& settings, std::unique_ptr<LanguageModel> model,
               ds::text::Tokenizer const& tokenizer, std::optional<ds::Token> begin,
               std::optional<ds::Token> end);

    /// Continues the prompt, as often as wanted.
    void tell();
    /// Continues lines from stdin, all in one text.
    void talk();
    /// Says how likely the file's text is.
    void score();

private:
    enum class End { length, text, stop, context, interrupt };  // why a reply ended
    static char const* name(End end);

    struct Timing {
        ds::index_t tokens = 0;
        double seconds = 0;
    };

    std::size_t max_tokens() const { return static_cast<std::size_t>(model_->max_tokens()); }
    std::vector<ds::Token> beginning() const;
    std::span<float const> read_history();
    End reply(ds::Sampler& sampler, std::string* collected);
    void take_turn(ds::Sampler& sampler, std::string const& text, bool show);
    void statistics() const;

    GenerateSettings const& settings_;
    std::unique_ptr<LanguageModel> model_;
    ds::text::Tokenizer const& tokenizer_;
    std::optional<ds::Token> begin_;
    std::optional<ds::Token> end_;
    std::vector<ds::Token>
        forbidden_;  // ids without text, which an untrained model may choose, and those not wanted
    std::vector<ds::Token> history_;  // the whole text; the model may not have read its end yet
    std::vector<float> logits_;
    Timing prompt_;  // read many at once
    Timing reply_;   // read one by one
    ds::index_t generated_ = 0;
};

}  // namespace deepseek_examples

#endif
