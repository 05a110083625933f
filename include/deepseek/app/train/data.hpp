// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_DATA_HPP
#define DEEPSEEK_APP_TRAIN_DATA_HPP

#include <deepseek/app/train/settings.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/data/batches.hpp>
#include <deepseek/data/matching_files.hpp>
#include <deepseek/data/token_files.hpp>
#include <deepseek/data/token_meta.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/text/load.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// The text that a run trains on: a directory with train.bin and validation.bin, or with shards *train*.bin and
/// *val*.bin, or files by name or pattern; and a meta.json and a tokenizer.json if they lie beside them.
class TrainingData {
public:
    /// Errors:    FileError, FormatError if there are no such files, one is missing or damaged, or the data's vocabulary
    ///            is larger than the model's; one that is smaller leaves ids of the model unused
    TrainingData(TrainSettings const& settings, index_t vocabulary, index_t length);

    /// The next micro-batches of one optimizer step. Valid until the next call.
    std::span<Batch const> next();

    /// Windows of text given so far: all there is to save.
    index_t position() const { return batches_.position(); }
    void seek(index_t position) { batches_.seek(position); }

    /// visit(batch) for the first `most` batches of the validation data, or all where 0, until it returns false.
    void for_validation_batches(index_t most, std::function<bool(Batch const&)> const& visit);

    /// The tokenizer that made the data; empty if it does not lie beside them.
    std::filesystem::path const& tokenizer() const { return tokenizer_; }
    std::optional<Token> end_of_text() const { return meta_ ? meta_->end_of_text : std::nullopt; }
    /// Token ids of the data; 0: unknown.
    index_t vocabulary() const { return meta_ ? meta_->vocabulary : 0; }

    index_t training_tokens() const { return training_.size(); }
    index_t validation_tokens() const { return validation_.size(); }

private:
    index_t accumulation_;
    bool overfit_;
    std::optional<data::TokenMeta> meta_;
    data::TokenFiles training_;
    data::TokenFiles validation_;
    data::Batches batches_;
    data::SequentialBatches validation_batches_;
    std::filesystem::path tokenizer_;
    std::vector<Batch> micro_batches_;
};

namespace detail {

// Where the tokens lie, and what describes them.
inline std::filesystem::path data_directory(TrainSettings const& settings) {
    auto const directory = format::existing_directory(settings.data);
    if (format::detail::is_directory(directory)) {
        return directory;
    }
    auto const files = data::matching_files(settings.data);
    expects<FileError>(!files.empty(), settings.data,
                       ": no such directory, and no such files; prepare makes one from text");
    return files.front().parent_path();
}

inline std::vector<std::filesystem::path> training_files(TrainSettings const& settings) {
    bool const named = !format::detail::is_directory(format::existing_directory(settings.data));
    return named ? data::existing_files(settings.data) : data::training_files(settings.data);
}

inline std::vector<std::filesystem::path> validation_files(TrainSettings const& settings) {
    if (!settings.val_data.empty()) {
        return format::detail::is_directory(settings.val_data) ? data::validation_files(settings.val_data)
                                                               : data::existing_files(settings.val_data);
    }
    expects<FileError>(format::detail::is_directory(format::existing_directory(settings.data)), settings.data,
                       ": files of tokens to train on need others to validate with: --val-data");
    return data::validation_files(settings.data);
}

inline std::optional<data::TokenWidth> token_width(TrainSettings const& settings) {
    return settings.data_dtype == "auto"     ? std::nullopt
           : settings.data_dtype == "uint16" ? std::optional(data::TokenWidth::two)
                                             : std::optional(data::TokenWidth::four);
}

inline std::optional<data::TokenMeta> read_meta(TrainSettings const& settings, index_t vocabulary) {
    auto const path = data_directory(settings) / "meta.json";
    if (!format::detail::exists(path)) {
        return std::nullopt;  // files of other programs: ids are checked as they are read
    }
    auto const meta = data::read_token_meta(path);
    expects<FormatError>(meta.vocabulary <= vocabulary, path.native(), ": the data has ", meta.vocabulary,
                         " token ids, model ", settings.model, " has ", vocabulary,
                         ": prepare the text with --tokenizer train:", vocabulary,
                         ", or train another model");
    return meta;
}

// It goes into the model's directory. That it cannot be used there is better known before the run than after.
inline std::filesystem::path check_tokenizer(TrainSettings const& settings, index_t vocabulary) {
    auto const path = data_directory(settings) / "tokenizer.json";
    if (!format::detail::exists(path)) {
        return {};
    }
    auto const size = text::load_tokenizer(path).vocabulary_size();
    expects<FormatError>(size <= vocabulary, path.native(), ": has ", size, " tokens, model ", settings.model,
                         " has ", vocabulary);
    return path;
}

// Between documents, where a run is to tell them apart.
inline std::optional<Token> separator(TrainSettings const& settings,
                                      std::optional<data::TokenMeta> const& meta) {
    if (!settings.documents) {
        return std::nullopt;
    }
    expects<FormatError>(
        meta && meta->end_of_text, settings.data,
        ": --documents needs to know the token between them: a meta.json with \"end_of_text\", as "
        "prepare writes it");
    return meta->end_of_text;
}

}  // namespace detail

inline TrainingData::TrainingData(TrainSettings const& settings, index_t vocabulary, index_t length)
    : accumulation_(settings.grad_accum),
      overfit_(settings.overfit),
      meta_(detail::read_meta(settings, vocabulary)),
      training_(detail::training_files(settings), vocabulary, detail::token_width(settings)),
      validation_(detail::validation_files(settings), vocabulary, detail::token_width(settings)),
      // One batch per optimizer step, cut into micro-batches: the same text in the same order however it is cut.
      batches_(training_,
               {.sequences = checked_mul(settings.batch_size, settings.grad_accum),
                .length = length,
                .seed = Seed{settings.seed},
                .order = settings.shuffle == "window" ? data::Order::independent : data::Order::shuffled,
                .separator = detail::separator(settings, meta_)}),
      validation_batches_(validation_, settings.batch_size, length, detail::separator(settings, meta_)),
      tokenizer_(detail::check_tokenizer(settings, vocabulary)) {}

inline std::span<Batch const> TrainingData::next() {
    if (overfit_) {
        batches_.seek(0);
    }
    auto const all = batches_.next();
    auto const sequences = all.sequences / accumulation_;
    micro_batches_.clear();
    for (index_t first = 0; first < all.sequences; first += sequences) {
        micro_batches_.push_back(all.slice(first, sequences));
    }
    return micro_batches_;
}

inline void TrainingData::for_validation_batches(index_t most,
                                                 std::function<bool(Batch const&)> const& visit) {
    validation_batches_.rewind();
    for (index_t i = 0; most == 0 || i < most; ++i) {
        auto const batch = validation_batches_.next();
        if (!batch || !visit(*batch)) {
            return;
        }
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
