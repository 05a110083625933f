// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_CHECKPOINT_HPP
#define DEEPSEEK_FORMAT_CHECKPOINT_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/format/config.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/huggingface.hpp>
#include <deepseek/format/save.hpp>
#include <deepseek/format/tensor_loader.hpp>
#include <deepseek/format/tensor_source.hpp>
#include <deepseek/format/training_state.hpp>
#include <deepseek/model/weights.hpp>

#include <algorithm>
#include <filesystem>
#include <string>

// Reading checkpoints. save.hpp says what they are and writes them; a program that only writes compiles faster with
// it alone.

namespace deepseek::inline DEEPSEEK_ABI::format {

namespace detail {
// A checkpoint directory's config.json must describe M. A bare file of tensors has none. Says how FP8 weights are scaled.
template <class M>
Float8Blocks check_directory(std::filesystem::path const& path) {
    Float8Blocks blocks;
    if (detail::is_directory(path)) {
        auto const config = read_config(path);
        expect_config_of<M>(config, (path / "config.json").native());
        if (config.quantization && config.quantization->weight_block_size.size() == 2) {
            blocks = {config.quantization->weight_block_size[0], config.quantization->weight_block_size[1]};
        }
    }
    return blocks;
}

// A module of zeros would stay one: every gradient in it is a product with another of its tensors.
template <class M, class T, class B>
void initialize_missing(B& be, Weights<M, T, B>& weights, LoadReport const& report, Seed seed) {
    if (report.missing_mtp.empty()) {
        return;
    }
    auto const is_missing = [&](index_t layer) {
        return std::any_of(report.missing_mtp.begin(), report.missing_mtp.end(),
                           [=](std::string const& name) { return layer_of(name) == layer; });
    };
    initialize_if(be, weights, seed, [&](Info const& info) {
        auto const layer = layer_of(full_name(info));
        return layer >= M::layers && is_missing(layer);
    });
}
}  // namespace detail

/// Reads weights from a Hugging Face model directory, or from a safetensors file or index alone. MTP modules that the
/// files lack altogether are as initialize makes them, so that training can go on with them, and are reported.
///
/// FP8 weights (F8_E4M3 with weight_scale_inv) and the stacked experts of transformers 5 are read as well. Files are read
/// once, piece by piece: the model is in memory once, however large it is.
///
/// Errors:    FileError if a file is missing; FormatError listing all differences between config.json and M, or all
///            tensors that are missing, unknown, of another shape or type: the weights are then as before. FormatError
///            listing all tensors with elements that are not finite: the weights are then the files'
template <class M, class T, class B>
LoadReport load_model(B& be, std::filesystem::path const& path, Weights<M, T, B>& weights,
                      LoadOptions options = {}) {
    auto const found = existing_directory(path);
    auto const blocks = detail::check_directory<M>(found);
    auto const source = TensorSource::open(found);
    TensorLoader<B> loader(be, options, blocks);
    loader.add_but_for_mtp(source, weights);
    loader.template expect_no_others<M>(source);
    auto report = loader.run(source.path().native());
    detail::initialize_missing(be, weights, report, options.seed);
    return report;
}

/// Reads a checkpoint that save_checkpoint wrote, to go on training. MTP modules must be complete.
///
/// Errors:    as load_model, for all three sets and trainer.json
template <class M, class T, class B>
TrainingState load_checkpoint(B& be, std::filesystem::path const& directory, Weights<M, T, B>& weights,
                              Weights<M, T, B>& first_moment, Weights<M, T, B>& second_moment) {
    auto const found = existing_directory(directory);
    expects<FileError>(detail::is_directory(found), directory.native(), ": no such checkpoint directory");
    for (auto const* name : {"optimizer.safetensors", "trainer.json"}) {
        expects<FileError>(detail::exists(found / name), found.native(), ": has no ", name,
                           ", so training cannot go on from it");
    }
    detail::check_directory<M>(found);
    auto state =
        parse_training_state(read_small_file(found / "trainer.json"), (found / "trainer.json").native());
    auto const model = TensorSource::open(found);
    auto const moments = TensorSource::open(found / "optimizer.safetensors");
    TensorLoader<B> loader(be);
    loader.add(model, weights);
    loader.template expect_no_others<M>(model);
    loader.add(moments, first_moment, ".m", Which::learned);
    loader.add(moments, second_moment, ".v", Which::learned);
    loader.template expect_no_others<M>(moments);
    loader.run(found.native());
    return state;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
