// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_SAVE_HPP
#define DEEPSEEK_FORMAT_SAVE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/format/config_writer.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/huggingface.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/model_tensors.hpp>
#include <deepseek/format/safetensors_writer.hpp>
#include <deepseek/format/tokenizer_files.hpp>
#include <deepseek/format/training_state_writer.hpp>
#include <deepseek/model/weights.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

// A checkpoint is a Hugging Face model directory:
//
//   config.json             what the model is
//   model.safetensors       weights, router biases included; tensor names of Hugging Face, MTP modules behind the last
//                           layer. Reading also accepts several files with model.safetensors.index.json
//   tokenizer.json          copied, where there is one
//   tokenizer_config.json   how transformers are to read it, copied from beside it
//
// and, where a training run is to go on from it:
//
//   optimizer.safetensors   AdamW's moments of every weight, as <name>.m and <name>.v
//   trainer.json            counters, seed, the run's flags
//
// Other engines read the former four and do not mind the others.

namespace deepseek::inline DEEPSEEK_ABI::format {

namespace detail {

// Files that belong to a checkpoint, so that replacing it may delete them: those that this header writes.
inline bool is_checkpoint_file(std::string_view name) {
    constexpr std::string_view own[] = {"config.json",           "model.safetensors",     "tokenizer.json",
                                        "tokenizer_config.json", "optimizer.safetensors", "trainer.json"};
    return std::find(std::begin(own), std::end(own), name) != std::end(own);
}

// Beside an index, other engines would take the old tensors in several files for those of the new configuration.
inline void expect_no_index(std::filesystem::path const& directory) {
    expects<FileError>(
        !detail::exists(directory / "model.safetensors.index.json"), in_quotes(directory.native()),
        ": holds model.safetensors.index.json, a model in several files that a checkpoint here would "
        "mix with; save elsewhere, or remove those files first");
}

inline std::string torch_dtype(DType type) {
    return type == DType::f64 ? "float64" : type == DType::bf16 ? "bfloat16" : "float32";
}

}  // namespace detail

/// What a checkpoint says beside its weights.
struct SaveOptions {
    std::optional<DType> dtype{};  ///< of the weights in the file: F64, F32, BF16; default: as they are
    /// A tokenizer.json to copy, with the tokenizer_config.json beside it; default: those of the checkpoint replaced.
    std::filesystem::path tokenizer{};
    std::optional<index_t> bos_token{};  ///< for config.json
    std::optional<index_t> eos_token{};  ///< for config.json
    /// The lock of the directory, if the caller holds it; default: one is taken for the time of saving.
    DirectoryLock const* lock = nullptr;
};

/// Proves that checkpoints can be saved in a directory, before the hours of work that end with it: does all that
/// saving does with a file that means nothing and is removed again. A checkpoint there is untouched; the directory need
/// not exist, and then does not exist afterwards either (the one it lies in does).
///
/// `bytes` is what one checkpoint takes: there must be room for a second while the first is kept.
///
/// Errors:    FileError naming path and cause: a file of that name, a link to nothing, no permission, a name too long,
///            no space, another writer
inline void prove_savable(std::filesystem::path const& directory, index_t bytes,
                          DirectoryLock const* lock = nullptr) {
    AtomicDirectory probe(directory, detail::is_checkpoint_file, lock);
    detail::expect_no_index(probe.target());
    probe.prove();
    index_t old = 0;
    for (auto const& name : detail::names_in(probe.target())) {
        struct stat status {};
        if (detail::is_checkpoint_file(name.native()) &&
            ::lstat((probe.target() / name).c_str(), &status) == 0) {
            old += status.st_size;
        }
    }
    std::error_code code;
    auto const space = std::filesystem::space(probe.path(), code);
    auto const needed = static_cast<std::uintmax_t>(std::max(bytes, checked_mul(2, bytes) - old));
    expects<FileError>(code || space.available >= needed, detail::in_quotes(probe.target().native()),
                       ": no space left: a checkpoint of ", bytes,
                       " bytes, and a second one before the first is removed, need ", needed,
                       " more bytes, there are ", space.available);
}

/// Writes a checkpoint file by file, then puts it in place as a whole; see BasicAtomicDirectory for what that promises.
///
/// Errors:    FileError naming file and cause, the disk being full included: the old checkpoint is then untouched
template <class Calls = detail::DirectoryCalls>
class BasicCheckpointWriter {
public:
    explicit BasicCheckpointWriter(std::filesystem::path const& directory,
                                   DirectoryLock const* lock = nullptr)
        : directory_(directory, detail::is_checkpoint_file, lock) {
        detail::expect_no_index(directory_.target());
    }

    /// model.safetensors, config.json and the tokenizer's files.
    template <class M, class T, class B>
    void model(B& be, Weights<M, T, B> const& weights, SaveOptions const& options = {}) {
        auto config = config_of<M>();
        config.torch_dtype = detail::torch_dtype(options.dtype.value_or(dtype_of<T>));
        for (auto const& [what, id] :
             {std::pair("bos_token", options.bos_token), {"eos_token", options.eos_token}}) {
            expects(!id || (*id >= 0 && *id < config.vocab_size), "SaveOptions: ", what, " is ",
                    id.value_or(0), ", not a token of the vocabulary of ", config.vocab_size);
        }
        config.bos_token_id = options.bos_token;
        if (options.eos_token) {
            config.eos_token_ids = {*options.eos_token};
        }
        tensors("model.safetensors", output_tensors(be, weights, options.dtype));
        text("config.json", format_config(config));
        for (auto const& [name, contents] : detail::tokenizer_files(options.tokenizer, directory_.target())) {
            text(name, contents);
        }
    }

    /// optimizer.safetensors and trainer.json.
    template <class M, class T, class B>
    void training(B& be, Weights<M, T, B> const& first_moment, Weights<M, T, B> const& second_moment,
                  TrainingState const& state) {
        auto moments = output_tensors(be, first_moment, {}, ".m", Which::learned);
        auto second = output_tensors(be, second_moment, {}, ".v", Which::learned);
        moments.insert(moments.end(), std::make_move_iterator(second.begin()),
                       std::make_move_iterator(second.end()));
        tensors("optimizer.safetensors", moments);
        text("trainer.json", format_training_state(state));
    }

    /// Replaces the old checkpoint.
    void commit() {
        // The old one goes only if the new one is all there.
        for (auto const& [file, bytes] : written_) {
            std::error_code code;
            auto const found = std::filesystem::file_size(file, code);
            if (code) {
                deepseek::detail::throw_file_error(file, "cannot read its size", code.value());
            }
            expects<FileError>(found == bytes, file.native(), ": ", bytes,
                               " bytes were written, the file has ", found);
        }
        directory_.commit();
    }

private:
    void tensors(std::string_view name, std::vector<OutputTensor> const& all) {
        auto file = directory_.file(name);
        // Readers of the transformers library insist on the format.
        written_.emplace_back(file.path(), write_safetensors_to(file, all, {{"format", "pt"}}));
        file.commit();
    }
    void text(std::string_view name, std::string_view contents) {
        auto file = directory_.file(name);
        file.write(contents);
        file.commit();
        written_.emplace_back(file.path(), contents.size());
    }

    BasicAtomicDirectory<Calls> directory_;
    std::vector<std::pair<std::filesystem::path, std::uintmax_t>> written_;  // with their sizes
};

/// The writer of checkpoints, with the operating system's own calls.
using CheckpointWriter = BasicCheckpointWriter<>;

/// Writes weights as a Hugging Face model directory, replacing a checkpoint of that name as a whole.
///
/// Errors:    see BasicCheckpointWriter
template <class M, class T, class B>
void save_model(B& be, std::filesystem::path const& directory, Weights<M, T, B> const& weights,
                SaveOptions const& options = {}) {
    CheckpointWriter writer(directory, options.lock);
    writer.model(be, weights, options);
    writer.commit();
}

/// Writes weights and all that a training run needs to go on, replacing a checkpoint of that name as a whole.
///
/// Errors:    see BasicCheckpointWriter; Error if options ask for another element type: the run would not go on bit for
///            bit
template <class M, class T, class B>
void save_checkpoint(B& be, std::filesystem::path const& directory, Weights<M, T, B> const& weights,
                     Weights<M, T, B> const& first_moment, Weights<M, T, B> const& second_moment,
                     TrainingState const& state, SaveOptions const& options = {}) {
    expects(!options.dtype || *options.dtype == dtype_of<T>,
            "save_checkpoint: weights must be saved as they are, in ", name(dtype_of<T>));
    CheckpointWriter writer(directory, options.lock);
    writer.model(be, weights, options);
    writer.training(be, first_moment, second_moment, state);
    writer.commit();
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
