// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_RUN_HPP
#define DEEPSEEK_APP_PREPARE_RUN_HPP

#include <deepseek/app/interrupt.hpp>
#include <deepseek/app/prepare/data_set.hpp>
#include <deepseek/app/prepare/dropped.hpp>
#include <deepseek/app/prepare/encoding.hpp>
#include <deepseek/app/prepare/inputs.hpp>
#include <deepseek/app/prepare/progress.hpp>
#include <deepseek/app/prepare/raw_documents.hpp>
#include <deepseek/app/prepare/settings.hpp>
#include <deepseek/app/prepare/split.hpp>
#include <deepseek/app/prepare/unfinished.hpp>
#include <deepseek/app/quantities.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/data/token_meta.hpp>
#include <deepseek/text/load.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/tokenizer_json.hpp>
#include <deepseek/text/train_bpe.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <exception>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

namespace detail {

inline constexpr std::string_view kTrainTokenizer = "train:";

// The number in train:NUMBER; 0 if there is none, or one too small for the bytes and end-of-text.
inline index_t vocabulary_to_train(std::string const& choice) {
    index_t vocabulary = 0;
    auto const* const last = choice.data() + choice.size();
    auto const [end, error] = std::from_chars(choice.data() + kTrainTokenizer.size(), last, vocabulary);
    bool const fits = vocabulary > 256 && vocabulary <= std::numeric_limits<Token>::max();
    return error == std::errc{} && end == last && fits ? vocabulary : 0;
}

}  // namespace detail

/// Turns text into a data set.
class PrepareRun {
public:
    explicit PrepareRun(PrepareSettings const& settings)
        : settings_(settings), split_(settings.validation, settings.seed) {}

    /// Errors:    FileError, FormatError, Error; an existing data set is as it was then
    void run() {
        text::expects_utf8(settings_.separator, "--separator");
        inputs_ = find_inputs(settings_);
        look_at_documents();
        DataSet set(settings_.output, settings_.force);  // before the work, so that it is not in vain
        Unfinished unfinished(set);
        auto const work = describe_work();
        auto const found = unfinished.find(work, settings_.force);
        auto const tokenizer = make_tokenizer(found ? unfinished.directory() / "tokenizer.json" : "");
        auto const width = static_cast<index_t>(data::width_for(tokenizer.vocabulary_size()));
        PrepareState state;
        if (found) {
            state = unfinished.resume(*found, width);
            std::fprintf(stderr, "note: going on with what is in %s\n", unfinished.directory().c_str());
        } else {
            unfinished.begin();
        }
        try {
            write_tokens(tokenizer, work, state, unfinished);
        } catch (std::exception const& error) {
            if (!unfinished.saved()) {
                throw;
            }
            throw Error(message(error.what(), "; what was done before is kept in ",
                                unfinished.directory().native(),
                                ", and the same command goes on from there"));
        }
        finish(tokenizer, state, unfinished, set);
    }

private:
    static constexpr std::size_t kBatchBytes = std::size_t{1} << 20U;
    static constexpr std::chrono::seconds kSaveEvery{30};

    // Until it is known which of them validate.
    void look_at_documents() {
        bool any = false;
        bool const all = for_each_text(inputs_, settings_, [&](std::string_view text) {
            any = true;
            split_.look_at(text);
            return !split_.settled();
        });
        end_if_interrupted();
        expects<FormatError>(any || !all, settings_.inputs.front(), ": there is no text but blanks",
                             inputs_.size() > 1 ? ", nor in the other files" : "");
    }

    static void end_if_interrupted() { expects(!Interrupt::requested(), "interrupted"); }

    text::Tokenizer make_tokenizer(std::filesystem::path const& saved) const {
        auto const& choice = settings_.tokenizer;
        if (choice == "bytes") {
            return text::byte_tokenizer();
        }
        if (!choice.starts_with(detail::kTrainTokenizer)) {
            auto tokenizer = text::load_tokenizer(choice);
            expects<FormatError>(tokenizer.has_end_of_text() || !settings_.end_of_text, choice,
                                 ": has no token that ends a document; tokenizer_config.json can name one as "
                                 "\"eos_token\"");
            return tokenizer;
        }
        if (!saved.empty()) {
            return text::load_tokenizer(saved);
        }
        text::TrainBpeOptions options;
        options.vocabulary = detail::vocabulary_to_train(choice);
        text::BpeTrainer trainer(options);
        // What is kept for validation must not shape the vocabulary.
        for_each_text(inputs_, settings_, [&](std::string_view text) {
            if (split_.within_documents()) {
                trainer.add(split_.cut(text).first);
            } else if (!split_.validates(text)) {
                trainer.add(text);
            }
            return true;
        });
        end_if_interrupted();
        auto tokenizer = trainer.train();
        if (tokenizer.vocabulary_size() < options.vocabulary) {
            std::fprintf(stderr,
                         "note: the text has too few different words for %lld tokens, it gives %lld\n",
                         static_cast<long long>(options.vocabulary),
                         static_cast<long long>(tokenizer.vocabulary_size()));
        }
        return tokenizer;
    }

    // What must be equal for a saved state to be gone on with.
    nlohmann::json describe_work() const {
        nlohmann::json inputs = nlohmann::json::array();
        for (auto const& [file, format] : inputs_) {
            inputs.push_back({data::fingerprint(std::filesystem::absolute(file.path).native()), file.bytes,
                              file.modified, static_cast<int>(format)});
        }
        auto const trained =
            settings_.tokenizer == "bytes" || settings_.tokenizer.starts_with(detail::kTrainTokenizer);
        auto const tokenizer = trained ? settings_.tokenizer
                                       : data::fingerprint(text::to_tokenizer_json(
                                             text::load_tokenizer(settings_.tokenizer).data()));
        return {{"separator", data::fingerprint(settings_.separator)},
                {"text_field", data::fingerprint(settings_.text_field)},
                {"whitespace", settings_.collapse_whitespace},
                {"min_bytes", settings_.min_bytes},
                {"documents", settings_.documents},
                {"validation", settings_.validation},
                {"seed", settings_.seed.value},
                {"tokenizer", tokenizer},
                {"end_of_text", settings_.end_of_text},
                {"chunk", settings_.chunk},
                {"inputs", inputs}};
    }

    bool resumable() const {
        return std::none_of(inputs_.begin(), inputs_.end(),
                            [](Input const& input) { return input.file.contents.has_value(); });
    }

    // Reads here, encodes in threads, and writes here, in the order of reading. Memory stays bounded: two batches per
    // thread are on their way.
    void write_tokens(text::Tokenizer const& tokenizer, nlohmann::json const& work, PrepareState& state,
                      Unfinished& unfinished) {
        auto const tokenizer_text = text::to_tokenizer_json(tokenizer.data());
        index_t total = 0;
        for (auto const& input : inputs_) {
            total += input.file.bytes;
        }
        progress_.emplace(settings_.quiet, total);
        RawDocuments documents(inputs_, settings_, state.position);
        progress_->begin_at(documents.consumed(), state.counts[0].bytes + state.counts[1].bytes);
        std::deque<std::unique_ptr<DocumentBatch>> under_way;  // outlives the threads
        EncodingThreads threads(settings_.jobs,
                                [&] { return BatchEncoder(tokenizer, inputs_, settings_, split_); });
        auto saved_at = std::chrono::steady_clock::now();
        bool at_end = false;
        while (!at_end || !under_way.empty()) {
            if (!at_end && under_way.size() < std::size_t{2} * settings_.jobs && !Interrupt::requested()) {
                under_way.push_back(std::make_unique<DocumentBatch>());
                at_end = !read_batch(documents, *under_way.back());
                threads.begin(*under_way.back());
                continue;
            }
            if (under_way.empty()) {  // interrupted, and all that was under way is written
                break;
            }
            auto& batch = *under_way.front();
            threads.finish(batch);
            for (std::size_t part = 0; part < 2; ++part) {
                unfinished.append(part, batch.tokens[part]);
                state.counts[part] += batch.counts[part];
            }
            state.dropped += batch.dropped;
            state.position = batch.after;
            progress_->show(batch.consumed, state.counts[0].bytes + state.counts[1].bytes,
                            state.counts[0].documents + state.counts[1].documents,
                            state.counts[0].tokens + state.counts[1].tokens);
            under_way.pop_front();
            if (resumable() && std::chrono::steady_clock::now() - saved_at >= kSaveEvery) {
                unfinished.save(work, state, tokenizer_text);
                saved_at = std::chrono::steady_clock::now();
            }
        }
        if (!at_end) {
            if (resumable()) {
                unfinished.save(work, state, tokenizer_text);
            }
            throw Error("interrupted");
        }
    }

    static bool read_batch(RawDocuments& documents, DocumentBatch& batch) {
        bool more = true;
        while (batch.raw.size() < kBatchBytes && (more = documents.next(batch.raw, batch.dropped))) {
            batch.documents.push_back(
                {batch.raw.size(), documents.position().input, documents.position().document});
        }
        batch.after = documents.position();
        batch.consumed = documents.consumed();
        return more;
    }

    void finish(text::Tokenizer const& tokenizer, PrepareState const& state, Unfinished& unfinished,
                DataSet& set) {
        auto const& [train, validation] = state.counts;
        expects(train.tokens > 0 && validation.tokens > 0,
                "there is too little text to keep some for validation: ", train.documents,
                " documents to train on and ", validation.documents, " to validate with are left, ",
                state.dropped.short_documents + state.dropped.chunkless_documents, " were too short");
        auto const tokenizer_file = saved_tokenizer(tokenizer);
        auto const tokenizer_text = text::to_tokenizer_json(tokenizer_file.data());
        unfinished.hand_over(set);
        auto const write = [&](char const* name, std::string const& text) {
            auto file = set.file(name);
            file.write(text);
            file.commit();
        };
        write("tokenizer.json", tokenizer_text);
        write("tokenizer_config.json", text::to_tokenizer_config(tokenizer_file));
        // Names of files need not be UTF-8, JSON must be.
        write("meta.json", describe(tokenizer, state, tokenizer_text)
                                   .dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
                               "\n");
        set.commit();
        report(tokenizer, state);
    }

    // Texts begin with the token between them, if there is one between them.
    text::Tokenizer saved_tokenizer(text::Tokenizer const& tokenizer) const {
        auto data = tokenizer.data();
        if (settings_.end_of_text) {
            text::begin_texts_with(data, tokenizer.end_of_text());
        } else {
            data.end_of_text = -1;
        }
        return text::Tokenizer(std::move(data));
    }

    nlohmann::ordered_json describe(text::Tokenizer const& tokenizer, PrepareState const& state,
                                    std::string const& tokenizer_text) const {
        auto const to_json = [](Counts const& counts) -> nlohmann::ordered_json {
            return {{"documents", counts.documents},
                    {"tokens", counts.tokens},
                    {"bytes", counts.bytes},
                    {"bytes_per_token", counts.bytes_per_token()}};
        };
        nlohmann::ordered_json dropped;
        Dropped::each(state.dropped, [&](char const* name, index_t count) { dropped[name] = count; });
        nlohmann::ordered_json inputs = nlohmann::ordered_json::array();
        for (auto const& input : inputs_) {
            inputs.push_back({{"file", input.file.path.native()}, {"bytes", input.file.bytes}});
        }
        return {{"dtype", data::name(data::width_for(tokenizer.vocabulary_size()))},
                {"vocabulary_size", tokenizer.vocabulary_size()},
                {"end_of_text",
                 settings_.end_of_text ? nlohmann::ordered_json(tokenizer.end_of_text()) : nullptr},
                {"tokenizer", settings_.tokenizer},
                {"tokenizer_fingerprint", data::fingerprint(tokenizer_text)},
                {"train", to_json(state.counts[0])},
                {"validation", to_json(state.counts[1])},
                {"split",
                 {{"fraction", settings_.validation},
                  {"seed", settings_.seed.value},
                  {"by", split_.within_documents() ? "end of every document" : "hash of the document"}}},
                {"dropped", dropped},
                {"separator", settings_.separator},
                {"whitespace", settings_.collapse_whitespace ? "collapse" : "keep"},
                {"min_bytes", settings_.min_bytes},
                {"chunk", settings_.chunk},
                {"inputs", inputs}};
    }

    void report(text::Tokenizer const& tokenizer, PrepareState const& state) {
        auto const seconds = progress_->elapsed();
        auto const speed = progress_->megabytes_per_second(state.counts[0].bytes + state.counts[1].bytes);
        progress_.reset();
        for (std::size_t part = 0; part < 2; ++part) {
            auto const& counts = state.counts[part];
            std::printf("%-14s  %11lld tokens  %9lld documents  %.3f bytes per token\n",
                        Unfinished::kFiles[part], static_cast<long long>(counts.tokens),
                        static_cast<long long>(counts.documents), counts.bytes_per_token());
        }
        std::printf("vocabulary      %11lld\n", static_cast<long long>(tokenizer.vocabulary_size()));
        auto const line = [](index_t count, char const* what, index_t bytes) {
            if (count > 0) {
                std::printf("dropped         %11lld %s (%s)\n", static_cast<long long>(count), what,
                            short_bytes(static_cast<double>(bytes)).c_str());
            }
        };
        auto const& dropped = state.dropped;
        line(dropped.empty_documents, "documents without text", dropped.empty_bytes);
        line(dropped.missing_texts, "rows whose text is null", 0);
        line(dropped.short_documents, "documents that are too short", dropped.short_bytes);
        line(dropped.chunkless_documents, "documents shorter than a chunk", 0);
        line(dropped.rest_tokens, "tokens behind the last whole chunk of a document", dropped.rest_bytes);
        line(dropped.whitespace_bytes, "bytes of white space", dropped.whitespace_bytes);
        std::printf("took            %11s at %.1f MB/s of text\n", short_duration(seconds).c_str(), speed);
    }

    PrepareSettings const& settings_;
    DocumentSplit split_;
    std::vector<Input> inputs_;
    std::optional<PrepareProgress> progress_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
