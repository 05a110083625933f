// SPDX-License-Identifier: MIT
#include "generation.hpp"

#include <deepseek/core/error.hpp>
#include <deepseek/io/file.hpp>

#include "../support/interrupt.hpp"
#include "../support/quantities.hpp"
#include "../support/stop_strings.hpp"
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <limits>
#include <numbers>
#include <system_error>
#include <utility>

namespace deepseek_examples {

namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

void note(std::string const& text) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s\n", text.c_str());
}

void print(std::string const& text) {
    bool const written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    bool const flushed = std::fflush(stdout) == 0;
    ds::expects<ds::FileError>(written && flushed,
                               "cannot write to stdout: ", std::generic_category().message(errno));
}

void print_json(Json const& json) { print(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"); }

bool read_line(std::string& line) {
    std::fputs("> ", stderr);
    return static_cast<bool>(std::getline(std::cin, line)) && !Interrupt::requested();
}

// -log of the token's probability.
double surprise(std::span<float const> logits, ds::Token token) {
    auto const greatest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
    double sum = 0;
    for (auto const logit : logits) {
        sum += std::exp(static_cast<double>(logit) - greatest);
    }
    return greatest + std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

}  // namespace

Generation::Generation(GenerateSettings const& settings, std::unique_ptr<LanguageModel> model,
                       ds::text::Tokenizer const& tokenizer, std::optional<ds::Token> begin,
                       std::optional<ds::Token> end)
    : settings_(settings), model_(std::move(model)), tokenizer_(tokenizer), begin_(begin), end_(end) {
    auto const vocabulary = model_->facts().vocabulary;
    ds::expects<ds::FormatError>(tokenizer_.vocabulary_size() <= vocabulary, settings_.model,
                                 ": its tokenizer has ", tokenizer_.vocabulary_size(),
                                 " tokens, the model only ", vocabulary);
    for (ds::Token token = 0; token < vocabulary; ++token) {
        if (!tokenizer_.is_token(token) || (settings_.ignore_end && token == end_)) {
            forbidden_.push_back(token);
        }
    }
}

char const* Generation::name(End end) {
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
std::vector<ds::Token> Generation::beginning() const {
    return settings_.begin_token && begin_ ? std::vector{*begin_} : std::vector<ds::Token>{};
}

// Reads the part of the history that the model has not seen; the logits of what follows.
std::span<float const> Generation::read_history() {
    auto const unread =
        std::span(std::as_const(history_)).subspan(static_cast<std::size_t>(model_->position()));
    auto const before = Clock::now();
    auto const logits = model_->read(unread);
    auto& timing = unread.size() == 1 && history_.size() > 1 ? reply_ : prompt_;
    timing.seconds += seconds_since(before);
    timing.tokens += static_cast<ds::index_t>(unread.size());
    logits_.assign(logits.begin(), logits.end());
    for (auto const token : forbidden_) {
        logits_[static_cast<std::size_t>(token)] = -std::numeric_limits<float>::infinity();
    }
    return logits_;
}

// Continues the history; shows the text as it comes, unless it is to be collected.
Generation::End Generation::reply(ds::Sampler& sampler, std::string* collected) {
    ds::text::StreamDecoder decoder(tokenizer_);
    StopStrings stops(settings_.stops);
    auto const show = [&](std::string const& text) {
        if (collected != nullptr) {
            *collected += text;
        } else if (!text.empty()) {
            print(text);
        }
    };
    auto end = End::length;
    for (ds::index_t done = 0; settings_.count < 0 || done < settings_.count; ++done) {
        if (Interrupt::requested()) {
            end = End::interrupt;
            break;
        }
        if (history_.size() > max_tokens()) {
            end = End::context;
            break;
        }
        auto const token = sampler(read_history(), std::span<ds::Token const>(history_));
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
        note(ds::message("\n[the context of ", model_->max_tokens(), " tokens is full]"));
    }
    return end;
}

void Generation::tell() {
    auto prompt = beginning();
    ds::text::Tokenizer::Encoder(tokenizer_).encode(settings_.prompt, prompt);
    ds::expects(!prompt.empty(),
                "there is nothing to continue: the prompt is empty and no token begins a text");
    ds::expects(prompt.size() <= max_tokens(), "the prompt has ", prompt.size(), " tokens, the context only ",
                model_->max_tokens());
    for (int i = 0; i < settings_.samples && !Interrupt::requested(); ++i) {
        auto options = settings_.sampling;
        options.seed.value += static_cast<std::uint64_t>(i);
        ds::Sampler sampler(options);
        history_ = prompt;
        // The prompt is still in the cache; only its last token is read again, for its logits.
        model_->truncate(std::min(model_->position(), static_cast<ds::index_t>(prompt.size()) - 1));
        if (settings_.json) {
            std::string text;
            auto const end = reply(sampler, &text);
            print_json(Json{{"prompt", settings_.prompt},
                            {"text", text},
                            {"tokens", history_.size() - prompt.size()},
                            {"end", name(end)},
                            {"seed", options.seed.value}});
            continue;
        }
        if (i > 0) {
            print("---\n");
        }
        if (settings_.show_prompt) {
            print(settings_.prompt);
        }
        reply(sampler, nullptr);
        print("\n");
    }
    statistics();
}

void Generation::talk() {
    ds::Sampler sampler(settings_.sampling);
    history_ = beginning();
    if (!settings_.prompt.empty()) {
        take_turn(sampler, settings_.prompt, settings_.show_prompt);
    }
    for (std::string line; read_line(line);) {
        take_turn(sampler, line, false);
    }
    note("");
    statistics();
}

void Generation::take_turn(ds::Sampler& sampler, std::string const& text, bool show) {
    std::vector<ds::Token> tokens;
    try {
        tokens = tokenizer_.encode(text);
    } catch (ds::FormatError const& error) {
        return note(ds::message("[", error.what(), "]"));
    }
    if (history_.size() + tokens.size() > max_tokens()) {
        note("[the context is full: a new text begins]");
        history_ = beginning();
        model_->truncate(0);
    }
    if (history_.size() + tokens.size() > max_tokens()) {
        return note(ds::message("[", tokens.size(), " tokens do not fit into the context of ",
                                model_->max_tokens(), "]"));
    }
    history_.insert(history_.end(), tokens.begin(), tokens.end());
    if (history_.empty()) {
        return;
    }
    if (show) {
        print(text);
    }
    if (static_cast<std::size_t>(model_->position()) == history_.size()) {
        model_->truncate(model_->position() -
                         1);  // nothing new: the last token is read again, for its logits
    }
    if (reply(sampler, nullptr) == End::interrupt) {
        Interrupt::clear();
    }
    print("\n");
}

// Every token but the first is predicted once, from at least half a context where there is so much before it.
void Generation::score() {
    auto const before = Clock::now();
    auto tokens = beginning();
    bool const begun = !tokens.empty();
    try {
        ds::text::Tokenizer::Encoder(tokenizer_).encode(ds::read_file(settings_.perplexity), tokens);
    } catch (ds::FormatError const& error) {
        throw ds::FormatError(ds::message(settings_.perplexity, ": ", error.what()));
    }
    ds::expects<ds::FormatError>(tokens.size() >= 2, settings_.perplexity, ": has no text to predict");
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
        model_->score(window.subspan(known), [&](ds::index_t i, std::span<float const> logits) {
            nats += surprise(logits, tokens[done + static_cast<std::size_t>(i)]);
        });
        done = end + 1;
    }
    std::size_t bytes = 0;
    for (std::size_t i = 1; i < done; ++i) {
        bytes += tokenizer_.bytes(tokens[i]).size();
    }
    auto const count = static_cast<double>(done - 1);
    auto const loss = nats / count;
    auto const bits_per_byte = nats / std::numbers::ln2 / static_cast<double>(bytes);
    if (settings_.json) {
        print_json(Json{{"file", settings_.perplexity},
                        {"tokens", done - 1},
                        {"bytes", bytes},
                        {"loss", loss},
                        {"ppl", std::exp(loss)},
                        {"bits_per_byte", bits_per_byte}});
    } else {
        print(formatted("loss %.4f | ppl %.3f | %.4f bits per byte\n", loss, std::exp(loss), bits_per_byte));
    }
    note(ds::message(done - 1, " tokens, ", bytes, " bytes in ", short_duration(seconds_since(before)),
                     begun ? "" : ", the first token not predicted", "; windows of ", model_->max_tokens()));
}

void Generation::statistics() const {
    auto const rate = [](Timing const& timing) {
        return short_number(timing.seconds > 0 ? static_cast<double>(timing.tokens) / timing.seconds : 0) +
               " tok/s";
    };
    note(ds::message("prompt ", prompt_.tokens, " tokens, ", rate(prompt_), " | reply ", generated_,
                     " tokens, ", rate(reply_), " | cache ",
                     short_bytes(static_cast<double>(model_->facts().cache_bytes_per_token)),
                     " per token | seed ", settings_.sampling.seed.value));
}

}  // namespace deepseek_examples
