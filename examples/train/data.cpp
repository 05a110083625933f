// SPDX-License-Identifier: MIT
#include "data.hpp"

#include <deepseek/core/error.hpp>
#include <deepseek/text/load.hpp>

#include <cstddef>

namespace deepseek_examples {

namespace {

std::optional<ds::data::TokenMeta> read_meta(TrainSettings const& settings, ds::index_t vocabulary) {
    std::filesystem::path const directory = settings.data;
    ds::expects<ds::FileError>(std::filesystem::is_directory(directory), settings.data,
                               ": no such directory; prepare makes one from text");
    auto const path = directory / "meta.json";
    if (!std::filesystem::exists(path)) {
        return std::nullopt;  // files of other programs: ids are checked as they are read
    }
    auto const meta = ds::data::read_token_meta(path);
    ds::expects<ds::FormatError>(meta.vocabulary <= vocabulary, path.native(), ": the data has ",
                                 meta.vocabulary, " token ids, model ", settings.model, " has ", vocabulary,
                                 ": prepare the text with --tokenizer train:", vocabulary,
                                 ", or train another model");
    return meta;
}

// It goes into the model's directory. That it cannot be used there is better known before the run than after.
std::filesystem::path check_tokenizer(TrainSettings const& settings, ds::index_t vocabulary) {
    auto const path = std::filesystem::path(settings.data) / "tokenizer.json";
    if (!std::filesystem::exists(path)) {
        return {};
    }
    auto const size = ds::text::load_tokenizer(path).vocabulary_size();
    ds::expects<ds::FormatError>(size <= vocabulary, path.native(), ": has ", size, " tokens, model ",
                                 settings.model, " has ", vocabulary);
    return path;
}

}  // namespace

TrainingData::TrainingData(TrainSettings const& settings, ds::index_t vocabulary, ds::index_t length)
    : directory_(settings.data),
      accumulation_(settings.grad_accum),
      overfit_(settings.overfit),
      meta_(read_meta(settings, vocabulary)),
      training_(directory_ / "train.bin", vocabulary),
      validation_(ds::data::validation_file(directory_), vocabulary),
      // One batch per optimizer step, cut into micro-batches: the same text in the same order however it is cut.
      batches_(training_, {.sequences = ds::checked_mul(settings.batch_size, settings.grad_accum),
                           .length = length,
                           .seed = ds::Seed{settings.seed}}),
      validation_batches_(validation_, settings.batch_size, length),
      tokenizer_(check_tokenizer(settings, vocabulary)) {}

std::span<ds::Batch const> TrainingData::next() {
    if (overfit_) {
        batches_.seek(0);
    }
    auto const all = batches_.next();
    auto const sequences = all.sequences / accumulation_;
    auto const count = static_cast<std::size_t>(sequences * all.length);
    micro_batches_.clear();
    for (std::size_t begin = 0; begin < all.tokens.size(); begin += count) {
        micro_batches_.push_back(
            {all.tokens.subspan(begin, count), all.targets.subspan(begin, count), sequences, all.length});
    }
    return micro_batches_;
}

void TrainingData::for_validation_batches(ds::index_t most,
                                          std::function<bool(ds::Batch const&)> const& visit) {
    validation_batches_.rewind();
    for (ds::index_t i = 0; most == 0 || i < most; ++i) {
        auto const batch = validation_batches_.next();
        if (!batch || !visit(*batch)) {
            return;
        }
    }
}

}  // namespace deepseek_examples
