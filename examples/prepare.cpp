// SPDX-License-Identifier: MIT
// Turns text into what `train` reads: a directory with
//
//   train.bin, validation.bin   token ids, little-endian, without header; every document ends with end-of-text
//   tokenizer.json              the tokenizer, as Hugging Face tokenizers read it
//   tokenizer_config.json       which token ends a text, as Hugging Face transformers read it
//   meta.json                   type of the ids, vocabulary, and counts of everything kept and dropped
//
// They appear together, and only if everything went well; a data set that was there is replaced only with --force.
//
// A document is what stands between two separators, by default <|endoftext|> as in TinyStories; a line break directly
// before and behind a separator belongs to it. A file without separators is one document. For validation some documents
// are kept, chosen by their hashes; of fewer documents than would give one, the last part of each.
#include <deepseek/app/cli.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/data/token_meta.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/text/load.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/tokenizer_json.hpp>
#include <deepseek/text/train_bpe.hpp>
#include <deepseek/text/utf8.hpp>

#include "prepare/data_set.hpp"
#include "prepare/documents.hpp"
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace ds = deepseek;
namespace fs = std::filesystem;
using deepseek_examples::Dropped;

namespace {

struct Settings {
    std::vector<std::string> inputs;
    std::string separator = std::string(ds::text::kEndOfText);
    std::string tokenizer;
    std::string output;
    double validation = 0.05;
    ds::Seed seed{1};
    bool force = false;
    unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
};

// One file of text: mapped, or read if it is a pipe.
class Text {
public:
    explicit Text(std::string const& path) {
        if (std::error_code ignored; fs::is_regular_file(path, ignored)) {
            file_ = ds::MappedFile(path);
        } else {
            read_ = ds::read_file(path);
        }
        ds::expects<ds::FormatError>(!view().empty(), path, ": is empty, expected text");
        ds::text::expects_utf8(view(), path);
    }
    std::string_view view() const { return read_.empty() ? file_.text() : std::string_view(read_); }

private:
    ds::MappedFile file_;
    std::string read_;
};

constexpr std::string_view kTrain = "train:";

// The number in train:NUMBER; 0 if there is none, or one too small for the bytes and end-of-text.
ds::index_t vocabulary_to_train(std::string const& choice) {
    ds::index_t vocabulary = 0;
    auto const* const last = choice.data() + choice.size();
    auto const [end, error] = std::from_chars(choice.data() + kTrain.size(), last, vocabulary);
    bool const fits = vocabulary > 256 && vocabulary <= std::numeric_limits<ds::Token>::max();
    return error == std::errc{} && end == last && fits ? vocabulary : 0;
}

ds::text::Tokenizer make_tokenizer(std::string const& choice,
                                   std::vector<std::string_view> const& documents) {
    if (choice == "bytes") {
        return ds::text::byte_tokenizer();
    }
    if (!choice.starts_with(kTrain)) {
        auto tokenizer = ds::text::load_tokenizer(choice);
        ds::expects<ds::FormatError>(
            tokenizer.has_end_of_text(), choice,
            ": has no token that ends a document; tokenizer_config.json can name one as "
            "\"eos_token\"");
        return tokenizer;
    }
    ds::text::TrainBpeOptions options;
    options.vocabulary = vocabulary_to_train(choice);
    auto tokenizer = ds::text::train_bpe(documents, options);
    if (tokenizer.vocabulary_size() < options.vocabulary) {
        std::fprintf(stderr, "note: the text has too few different words for %lld tokens, it gives %lld\n",
                     static_cast<long long>(options.vocabulary),
                     static_cast<long long>(tokenizer.vocabulary_size()));
    }
    return tokenizer;
}

// What is known of one part once it is written.
struct Counts {
    ds::index_t documents = 0;
    ds::index_t tokens = 0;  // end-of-text included
    ds::index_t bytes = 0;   // of text

    double bytes_per_token() const { return static_cast<double>(bytes) / static_cast<double>(tokens); }
};

class Encoding {
public:
    Encoding(ds::text::Tokenizer const& tokenizer, unsigned jobs) : tokenizer_(&tokenizer) {
        for (unsigned i = 0; i < jobs; ++i) {
            workers_.emplace_back(tokenizer);
        }
    }

    // Encodes documents in parallel and writes them in order. Memory stays bounded: as many documents are in work as
    // make up a few megabytes of text.
    Counts write(std::vector<std::string_view> const& documents, deepseek_examples::DataSet::File& file) {
        Counts counts;
        auto const width = ds::data::width_for(tokenizer_->vocabulary_size());
        for (std::size_t at = 0; at < documents.size();) {
            for (auto& worker : workers_) {
                worker.documents.clear();
                for (std::size_t bytes = 0; at < documents.size() && bytes < kBytesPerJob; ++at) {
                    worker.documents.push_back(documents[at]);
                    bytes += documents[at].size();
                }
            }
            encode();
            for (auto const& worker : workers_) {
                for (auto const document : worker.documents) {
                    counts.bytes += static_cast<ds::index_t>(document.size());
                }
                counts.documents += static_cast<ds::index_t>(worker.documents.size());
                counts.tokens += static_cast<ds::index_t>(worker.tokens.size());
                if (width == ds::data::TokenWidth::two) {
                    append<std::uint16_t>(worker.tokens, file);
                } else {
                    append<std::uint32_t>(worker.tokens, file);
                }
            }
        }
        return counts;
    }

private:
    static constexpr std::size_t kBytesPerJob = std::size_t{4} << 20U;

    struct Worker {
        explicit Worker(ds::text::Tokenizer const& tokenizer) : encoder(tokenizer) {}
        ds::text::Tokenizer::Encoder encoder;
        std::vector<std::string_view> documents;
        std::vector<ds::Token> tokens;
        std::exception_ptr error;
    };

    void encode() {
        auto const end_of_text = tokenizer_->end_of_text();
        auto const work = [end_of_text](Worker& worker) noexcept {
            try {
                worker.tokens.clear();
                for (auto const document : worker.documents) {
                    worker.encoder.encode(document, worker.tokens);
                    worker.tokens.push_back(end_of_text);
                }
            } catch (...) {
                worker.error = std::current_exception();
            }
        };
        {
            std::vector<std::jthread> threads;
            for (std::size_t i = 1; i < workers_.size(); ++i) {
                if (!workers_[i].documents.empty()) {
                    threads.emplace_back(work, std::ref(workers_[i]));
                } else {
                    workers_[i].tokens.clear();
                }
            }
            work(workers_.front());
        }
        for (auto const& worker : workers_) {
            if (worker.error) {
                std::rethrow_exception(worker.error);
            }
        }
    }

    template <class Stored>
    static void append(std::vector<ds::Token> const& tokens, deepseek_examples::DataSet::File& file) {
        std::vector<Stored> const stored(tokens.begin(), tokens.end());
        file.write(std::as_bytes(std::span(stored)));
    }

    ds::text::Tokenizer const* tokenizer_;
    std::vector<Worker> workers_;
};

nlohmann::ordered_json to_json(Counts const& counts) {
    return {{"documents", counts.documents},
            {"tokens", counts.tokens},
            {"bytes", counts.bytes},
            {"bytes_per_token", counts.bytes_per_token()}};
}

void report(char const* file, Counts const& counts) {
    std::printf("%-14s  %11lld tokens  %9lld documents  %.3f bytes per token\n", file,
                static_cast<long long>(counts.tokens), static_cast<long long>(counts.documents),
                counts.bytes_per_token());
}

void prepare(Settings const& settings) {
    ds::text::expects_utf8(settings.separator, "--separator");
    std::vector<Text> texts;
    std::vector<std::string_view> documents;
    Dropped dropped;
    nlohmann::ordered_json inputs = nlohmann::ordered_json::array();
    for (auto const& path : settings.inputs) {
        texts.emplace_back(path);
        inputs.push_back({{"file", path}, {"bytes", texts.back().view().size()}});
    }
    for (auto const& text : texts) {  // all texts are in place: views of them stay valid
        deepseek_examples::append_documents(text.view(), settings.separator, documents, dropped);
    }
    ds::expects<ds::FormatError>(!documents.empty(), settings.inputs.front(), ": there is no text but blanks",
                                 settings.inputs.size() > 1 ? ", nor in the other files" : "");
    deepseek_examples::DataSet set(settings.output,
                                   settings.force);  // before the work, so that it is not in vain
    auto const split = deepseek_examples::split_documents(documents, settings.validation, settings.seed);
    // What is kept for validation must not shape the vocabulary.
    auto const tokenizer = make_tokenizer(settings.tokenizer, split.train);

    auto train_file = set.file("train.bin");
    auto validation_file = set.file("validation.bin");
    auto tokenizer_file = set.file("tokenizer.json");
    auto config_file = set.file("tokenizer_config.json");
    auto meta_file = set.file("meta.json");
    Encoding encoding(tokenizer, settings.jobs);
    auto const train = encoding.write(split.train, train_file);
    auto const validation = encoding.write(split.validation, validation_file);
    auto tokenizer_data = tokenizer.data();
    ds::text::begin_texts_with(tokenizer_data, tokenizer.end_of_text());
    auto const tokenizer_text = ds::text::to_tokenizer_json(tokenizer_data);
    tokenizer_file.write(tokenizer_text);
    config_file.write(ds::text::to_tokenizer_config(tokenizer));
    nlohmann::ordered_json const meta = {
        {"dtype", ds::data::name(ds::data::width_for(tokenizer.vocabulary_size()))},
        {"vocabulary_size", tokenizer.vocabulary_size()},
        {"end_of_text", tokenizer.end_of_text()},
        {"tokenizer", settings.tokenizer},
        {"tokenizer_fingerprint", ds::data::fingerprint(tokenizer_text)},
        {"train", to_json(train)},
        {"validation", to_json(validation)},
        {"split",
         {{"fraction", settings.validation},
          {"seed", settings.seed.value},
          {"by", split.within_documents ? "end of every document" : "hash of the document"}}},
        {"dropped",
         {{"separators", dropped.separators},
          {"separator_bytes", dropped.separator_bytes},
          {"empty_documents", dropped.empty_documents},
          {"empty_bytes", dropped.empty_bytes}}},
        {"separator", settings.separator},
        {"inputs", inputs}};
    // Names of files need not be UTF-8, JSON must be.
    meta_file.write(meta.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
    for (auto* const file : {&train_file, &validation_file, &tokenizer_file, &config_file, &meta_file}) {
        file->commit();
    }
    set.commit();

    report("train.bin", train);
    report("validation.bin", validation);
    std::printf("vocabulary      %11lld\n", static_cast<long long>(tokenizer.vocabulary_size()));
    if (dropped.empty_documents > 0) {
        std::printf("dropped         %11lld documents without text\n",
                    static_cast<long long>(dropped.empty_documents));
    }
}

}  // namespace

int main(int argc, char** argv) {
    Settings settings;
    ds::app::Program program("prepare", "Turns text into tokens to train on.");
    program.add_option("--input", settings.inputs, "UTF-8 text files")
        ->group("Text")
        ->required()
        ->default_str("");
    program
        .add_option("--separator", settings.separator,
                    "text between documents; a file without it is a document")
        ->group("Text");
    program
        .add_option("--tokenizer", settings.tokenizer,
                    "bytes, train:VOCABULARY, a tokenizer.json, or a directory with one")
        ->group("Tokens")
        ->required()
        ->default_str("")
        ->check([](std::string const& choice) -> std::string {
            return choice.starts_with(kTrain) && vocabulary_to_train(choice) == 0
                       ? choice + ": expected train: and a number above 256"
                       : "";
        });
    program.add_option("--validation", settings.validation, "share of the text to validate with")
        ->group("Tokens")
        ->check(ds::app::in_range(1e-6, 0.9));
    program.add_option("--seed", settings.seed.value, "chooses the documents to validate with")
        ->group("Tokens")
        ->check(ds::app::in_range<std::uint64_t>(0, std::numeric_limits<std::uint64_t>::max()));
    program.add_option("--output", settings.output, "directory to write, made if it is missing")
        ->group("Output")
        ->check(ds::app::not_empty())
        ->required()
        ->default_str("");
    program.add_flag("--force", settings.force, "replace a data set that is there")->group("Output");
    program.add_option("--jobs", settings.jobs, "threads to encode with")
        ->group("Output")
        ->check(ds::app::in_range(1, 1024));
    return ds::app::run(program, argc, argv, [&] { prepare(settings); });
}
