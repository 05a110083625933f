// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_TRAIN_DATA_HPP
#define DEEPSEEK_EXAMPLES_TRAIN_DATA_HPP

#include <deepseek/core/batch.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/data/batches.hpp>
#include <deepseek/data/token_file.hpp>

#include "settings.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace deepseek_examples {

/// The text that a run trains on: a directory with train.bin, validation.bin, and perhaps meta.json and
/// tokenizer.json.
class TrainingData {
public:
    /// Errors:    FileError, FormatError if there is no such directory, a file is missing or damaged, or the data's
    ///            vocabulary is larger than the model's; one that is smaller leaves ids of the model unused
    TrainingData(TrainSettings const& settings, ds::index_t vocabulary, ds::index_t length);

    /// The next micro-batches of one optimizer step. Valid until the next call.
    std::span<ds::Batch const> next();

    /// Windows of text given so far: all there is to save.
    ds::index_t position() const { return batches_.position(); }
    void seek(ds::index_t position) { batches_.seek(position); }

    /// visit(batch) for the first `most` batches of the validation data, or all where 0, until it returns false.
    void for_validation_batches(ds::index_t most, std::function<bool(ds::Batch const&)> const& visit);

    /// The tokenizer that made the data; empty if it does not lie beside them.
    std::filesystem::path const& tokenizer() const { return tokenizer_; }
    std::optional<ds::Token> end_of_text() const { return meta_ ? meta_->end_of_text : std::nullopt; }
    /// Token ids of the data; 0: unknown.
    ds::index_t vocabulary() const { return meta_ ? meta_->vocabulary : 0; }

    ds::index_t training_tokens() const { return training_.size(); }
    ds::index_t validation_tokens() const { return validation_.size(); }

private:
    std::filesystem::path directory_;
    ds::index_t accumulation_;
    bool overfit_;
    std::optional<ds::data::TokenMeta> meta_;
    ds::data::TokenFile training_;
    ds::data::TokenFile validation_;
    ds::data::Batches batches_;
    ds::data::SequentialBatches validation_batches_;
    std::filesystem::path tokenizer_;
    std::vector<ds::Batch> micro_batches_;
};

}  // namespace deepseek_examples

#endif
