// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_GENERATION_HPP
#define DEEPSEEK_APP_GENERATE_GENERATION_HPP

#include <deepseek/app/generate/language_model.hpp>
#include <deepseek/app/generate/line_reader.hpp>
#include <deepseek/app/generate/stop_strings.hpp>
#include <deepseek/app/interrupt.hpp>
#include <deepseek/app/quantities.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/infer/sampler.hpp>
#include <deepseek/text/tokenizer.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <numbers>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// What the command line of `generate` says.
struct GenerateSettings {
    std::string model;
    std::string prompt;
    index_t count = 128;  ///< of tokens to generate; -1: until the text ends or the context is full
    index_t context = 0;  ///< 0: the model's
    int samples = 1;
    Sampling sampling;
    std::vector<std::string> stops;
    bool ignore_end = false;
    bool interactive = false;
    bool show_prompt = true;
    bool json = false;
    bool begin_token = true;  ///< put the begin-of-text token, or that between documents, before the prompt
    std::string perplexity;   ///< file to score instead of generating
    std::string device = "cpu";
    int threads = 0;
};

/// One call of `generate`.
class Generation {
public:
    /// `begin` is the token before every text, `end` the one after it, where there are such.
    ///
    /// Errors:    Error if the tokenizer has more tokens than the model
    Generation(GenerateSettings const& settings, std::unique_ptr<LanguageModel> model,
               text::Tokenizer const& tokenizer, std::optional<Token> begin, std::optional<Token> end);

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
        index_t tokens = 0;
        double seconds = 0;
    };

    std::size_t max_tokens() const { return static_cast<std::size_t>(model_->max_tokens()); }
    std::vector<Token> beginning() const;
    std::span<float const> read_history();
    End reply(Sampler& sampler, std::string* collected);
    void take_turn(Sampler& sampler, std::string const& text, bool show);
    void obey(std::string const& command);
    void start_anew();
    void slide(std::size_t room);
    void statistics() const;

    GenerateSettings const& settings_;
    std::unique_ptr<LanguageModel> model_;
    text::Tokenizer const& tokenizer_;
    std::optional<Token> begin_;
    std::optional<Token> end_;
    std::vector<Token>
        forbidden_;  // ids without text, which an untrained model may choose, and those not wanted
    std::vector<Token> history_;  // the whole text; the model may not have read its end yet
    std::vector<float> logits_;
    Timing prompt_;  // read many at once
    Timing reply_;   // read one by one
    index_t generated_ = 0;
};

namespace detail {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

inline void note(std::string const& text) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s\n", text.c_str());
}

inline void print(std::string const& text) {
    bool const written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    bool const flushed = std::fflush(stdout) == 0;
    expects<FileError>(written && flushed,
                       "cannot write to stdout: ", std::generic_category().message(errno));
}

inline void print_json(Json const& json) {
    print(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

// -log of the token's probability.
inline double surprise(std::span<float const> logits, Token token) {
    auto const greatest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
    double sum = 0;
    for (auto const logit : logits) {
        sum += std::exp(static_cast<double>(logit) - greatest);
    }
    return greatest + std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

}  // namespace detail

inline Generation::Generation(GenerateSettings const& settings, std::unique_ptr<LanguageModel> model,
                              text::Tokenizer const& tokenizer, std::optional<Token> begin,
                              std::optional<Token> end)
    : settings_(settings), model_(std::move(model)), tokenizer_(tokenizer), begin_(begin), end_(end) {
    auto const vocabulary = model_->facts().vocabulary;
    expects<FormatError>(tokenizer_.vocabulary_size() <= vocabulary, settings_.model, ": its tokenizer has ",
                         tokenizer_.vocabulary_size(), " tokens, the model only ", vocabulary);
    for (Token token = 0; token < vocabulary; ++token) {
        if (!tokenizer_.is_token(token) || (settings_.ignore_end && token == end_)) {
            forbidden_.push_back(token);
        }
    }
}

inline char const* Generation::name(End end) {
    switch (end) {
        case End::length:
            return "length";
        case End::text:
            return "end";
        case End::stop:
            return "stop";
        case End::context:
            return "context";
        case End::interrupt:
            return "interrupt";
    }
    return "";
}

// The beginning of every text.
inline std::vector<Token> Generation::beginning() const {
    return settings_.begin_token && begin_ ? std::vector{*begin_} : std::vector<Token>{};
}

// Reads the part of the history that the model has not seen; the logits of what follows.
inline std::span<float const> Generation::read_history() {
    auto const unread =
        std::span(std::as_const(history_)).subspan(static_cast<std::size_t>(model_->position()));
    auto const before = detail::Clock::now();
    auto const logits = model_->read(unread);
    auto& timing = unread.size() == 1 && history_.size() > 1 ? reply_ : prompt_;
    timing.seconds += detail::seconds_since(before);
    timing.tokens += static_cast<index_t>(unread.size());
    logits_.assign(logits.begin(), logits.end());
    // A sum of them has no value if one of them has none.
    auto const sum = std::accumulate(logits_.begin(), logits_.end(), 0.0);
    expects(std::isfinite(sum), settings_.model, ": the model gives no finite logits after ", history_.size(),
            " tokens: its weights are ruined");
    for (auto const token : forbidden_) {
        logits_[static_cast<std::size_t>(token)] = -std::numeric_limits<float>::infinity();
    }
    return logits_;
}

// Continues the history; shows the text as it comes, unless it is to be collected.
inline Generation::End Generation::reply(Sampler& sampler, std::string* collected) {
    text::StreamDecoder decoder(tokenizer_);
    StopStrings stops(settings_.stops);
    auto const show = [&](std::string const& text) {
        if (collected != nullptr) {
            *collected += text;
        } else if (!text.empty()) {
            detail::print(text);
        }
    };
    auto end = End::length;
    for (index_t done = 0; settings_.count < 0 || done < settings_.count; ++done) {
        if (Interrupt::requested()) {
            end = End::interrupt;
            break;
        }
        if (history_.size() > max_tokens()) {
            if (!settings_.interactive) {
                end = End::context;
                break;
            }
            slide(max_tokens() / 2);
        }
        auto const token = sampler(read_history(), std::span<Token const>(history_));
        history_.push_back(token);
        ++generated_;
        if (token == end_) {
            end = End::text;
            break;
        }
        show(stops.push(decoder.push(token)));
        if (stops.found()) {
            end = End::stop;
            break;
        }
    }
    show(stops.push(decoder.finish()));
    show(stops.finish());
    if (end == End::context) {
        detail::note(message("\n[the context of ", model_->max_tokens(), " tokens is full]"));
    }
    return end;
}

inline void Generation::tell() {
    auto prompt = beginning();
    text::Tokenizer::Encoder(tokenizer_).encode(settings_.prompt, prompt);
    expects(!prompt.empty(), "there is nothing to continue: the prompt is empty and no token begins a text");
    expects(prompt.size() <= max_tokens(), "the prompt has ", prompt.size(), " tokens, the context only ",
            model_->max_tokens());
    for (int i = 0; i < settings_.samples && !Interrupt::requested(); ++i) {
        auto options = settings_.sampling;
        options.seed.value += static_cast<std::uint64_t>(i);
        Sampler sampler(options);
        history_ = prompt;
        // The prompt is still in the cache; only its last token is read again, for its logits.
        model_->truncate(std::min(model_->position(), static_cast<index_t>(prompt.size()) - 1));
        if (settings_.json) {
            std::string text;
            auto const end = reply(sampler, &text);
            detail::print_json(detail::Json{{"prompt", settings_.prompt},
                                            {"text", text},
                                            {"tokens", history_.size() - prompt.size()},
                                            {"end", name(end)},
                                            {"seed", options.seed.value}});
            continue;
        }
        if (i > 0) {
            detail::print("---\n");
        }
        if (settings_.show_prompt) {
            detail::print(settings_.prompt);
        }
        reply(sampler, nullptr);
        detail::print("\n");
    }
    statistics();
}

inline void Generation::talk() {
    Sampler sampler(settings_.sampling);
    history_ = beginning();
    if (!settings_.prompt.empty()) {
        take_turn(sampler, settings_.prompt, settings_.show_prompt);
    }
    LineReader reader;
    for (std::string line; reader.read("> ", line);) {
        if (line.starts_with('/')) {
            obey(line);
        } else {
            take_turn(sampler, line, false);
        }
    }
    detail::note("");
    statistics();
}

inline void Generation::take_turn(Sampler& sampler, std::string const& text, bool show) {
    std::vector<Token> tokens;
    try {
        tokens = tokenizer_.encode(text);
    } catch (FormatError const& error) {
        return detail::note(message("[", error.what(), "]"));
    }
    if (beginning().size() + tokens.size() > max_tokens()) {
        return detail::note(message("[", tokens.size(), " tokens do not fit into the context of ",
                                    model_->max_tokens(), "]"));
    }
    if (history_.size() + tokens.size() > max_tokens()) {
        slide(std::max(max_tokens() / 2, tokens.size()));
    }
    history_.insert(history_.end(), tokens.begin(), tokens.end());
    if (history_.empty()) {
        return;
    }
    if (show) {
        detail::print(text);
    }
    if (static_cast<std::size_t>(model_->position()) == history_.size()) {
        model_->truncate(model_->position() -
                         1);  // nothing new: the last token is read again, for its logits
    }
    if (reply(sampler, nullptr) == End::interrupt) {
        Interrupt::clear();
    }
    detail::print("\n");
}

inline void Generation::obey(std::string const& command) {
    if (command == "/reset") {
        start_anew();
        detail::note("[a new text begins]");
    } else {
        if (command != "/help") {
            detail::note(message("[there is no command ", command.substr(0, 40), "]"));
        }
        detail::note(
            "[/reset begins a new text, /help says this; Ctrl-C stops a reply, Ctrl-D ends the program;"
            " a line that begins with a space is text, whatever follows]");
    }
}

inline void Generation::start_anew() {
    history_ = beginning();
    model_->truncate(0);
}

// Forgets the oldest part of the text, so that there is room for so many tokens more. What remains is read again: its
// positions are others now.
inline void Generation::slide(std::size_t room) {
    auto const begin = beginning();
    auto const most = max_tokens() - std::min(max_tokens(), room);
    auto const kept = std::min(history_.size(), most - std::min(most, begin.size()));
    std::vector<Token> const tail(history_.end() - static_cast<std::ptrdiff_t>(kept), history_.end());
    start_anew();
    history_.insert(history_.end(), tail.begin(), tail.end());
}

// Every token but the first is predicted once, from at least half a context where there is so much before it.
inline void Generation::score() {
    auto const before = detail::Clock::now();
    auto tokens = beginning();
    bool const begun = !tokens.empty();
    try {
        text::Tokenizer::Encoder(tokenizer_)
            .encode(read_file(settings_.perplexity), tokens, text::SpecialText::recognized);
    } catch (FormatError const& error) {
        throw FormatError(message(settings_.perplexity, ": ", error.what()));
    }
    expects<FormatError>(tokens.size() >= 2, settings_.perplexity, ": has no text to predict");
    double nats = 0;
    std::size_t done = 1;  // tokens predicted, the first being given
    while (done < tokens.size() && !Interrupt::requested()) {
        auto const begin = done == 1 ? 0 : done - std::max<std::size_t>(1, max_tokens() / 2);
        auto const end = std::min(tokens.size() - 1, begin + max_tokens());
        auto const window = std::span(std::as_const(tokens)).subspan(begin, end - begin);
        auto const known = done - 1 - begin;  // tokens of the window whose successors were predicted before
        model_->truncate(0);
        if (known > 0) {
            model_->read(window.first(known));
        }
        model_->score(window.subspan(known), [&](index_t i, std::span<float const> logits) {
            nats += detail::surprise(logits, tokens[done + static_cast<std::size_t>(i)]);
        });
        done = end + 1;
    }
    expects(std::isfinite(nats), settings_.perplexity, ": its loss is ", nats,
            ": the model's weights are ruined");
    std::size_t bytes = 0;
    for (std::size_t i = 1; i < done; ++i) {
        bytes += tokenizer_.bytes(tokens[i]).size();
    }
    auto const count = static_cast<double>(done - 1);
    auto const loss = nats / count;
    auto const bits_per_byte = nats / std::numbers::ln2 / static_cast<double>(bytes);
    if (settings_.json) {
        detail::print_json(detail::Json{{"file", settings_.perplexity},
                                        {"tokens", done - 1},
                                        {"bytes", bytes},
                                        {"loss", loss},
                                        {"ppl", std::exp(loss)},
                                        {"bits_per_byte", bits_per_byte}});
    } else {
        detail::print(
            formatted("loss %.4f | ppl %.3f | %.4f bits per byte\n", loss, std::exp(loss), bits_per_byte));
    }
    detail::note(
        message(done - 1, " tokens, ", bytes, " bytes in ", short_duration(detail::seconds_since(before)),
                begun ? "" : ", the first token not predicted", "; windows of ", model_->max_tokens()));
}

inline void Generation::statistics() const {
    auto const rate = [](Timing const& timing) {
        return short_number(timing.seconds > 0 ? static_cast<double>(timing.tokens) / timing.seconds : 0) +
               " tok/s";
    };
    detail::note(message("prompt ", prompt_.tokens, " tokens, ", rate(prompt_), " | reply ", generated_,
                         " tokens, ", rate(reply_), " | cache ",
                         short_bytes(static_cast<double>(model_->facts().cache_bytes_per_token)),
                         " per token | seed ", settings_.sampling.seed.value));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
