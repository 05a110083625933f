// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_PROGRAM_HPP
#define DEEPSEEK_APP_TRAIN_PROGRAM_HPP

#include <deepseek/app/cli.hpp>
#include <deepseek/app/device.hpp>
#include <deepseek/app/interrupt.hpp>
#include <deepseek/app/known_model.hpp>
#include <deepseek/app/shell_word.hpp>
#include <deepseek/app/train/flags.hpp>
#include <deepseek/app/train/run.hpp>
#include <deepseek/app/train/settings.hpp>
#include <deepseek/app/train/training.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/training_state.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

// The program `train` without the types of its models, so that each of these can have a translation unit of its own;
// app/train.hpp is the program for one type.

namespace deepseek::inline DEEPSEEK_ABI::app {

/// A model that a program can train.
struct Trainable {
    KnownModel known;
    std::unique_ptr<Training> (*make)(TrainOptions const& options, Computing const& computing);
};

template <class M>
Trainable trainable(KnownModel known) {
    return {std::move(known), &make_training<M>};
}

namespace detail {

class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

inline bool holds_model(std::filesystem::path const& directory) {
    for (char const* name : {"config.json", "model.safetensors", "trainer.json"}) {
        if (format::detail::exists(format::existing_directory(directory) / name)) {
            return true;
        }
    }
    return false;
}

// The checkpoint that --resume asks for. `out` becomes the directory of that run where it was not given.
inline std::optional<std::filesystem::path> checkpoint_to_resume(TrainFlags const& flags,
                                                                 TrainSettings& settings) {
    if (!flags.given("--resume") || settings.resume == "no") {
        return std::nullopt;
    }
    bool const elsewhere = !settings.resume.empty() && settings.resume != "auto";
    if (settings.out.empty() && elsewhere) {
        settings.out = settings.resume;
    }
    if (settings.out.empty()) {
        throw UsageError("--resume needs the directory of the run: --out DIR");
    }
    std::filesystem::path const directory = elsewhere ? settings.resume : settings.out;
    bool const is_run = format::detail::exists(format::existing_directory(directory) / "trainer.json");
    if (settings.resume == "auto" && !is_run) {
        return std::nullopt;
    }
    expects<FileError>(is_run, directory.native(), ": holds no run to continue (no trainer.json)");
    return directory;  // what a crash left in it moves before it is read
}

// A run or a model that is already there is never overwritten by another.
inline void protect_output(TrainSettings const& settings, std::optional<std::filesystem::path> const& resumed,
                           std::filesystem::path const& best) {
    std::error_code ignored;
    if (resumed && std::filesystem::equivalent(format::existing_directory(*resumed),
                                               format::existing_directory(settings.out), ignored)) {
        return;
    }
    expects<FileError>(!holds_model(settings.out), settings.out,
                       ": already holds a model; continue its run with --resume, or choose another --out");
    expects<FileError>(
        !settings.keep_best || !holds_model(best), best.native(),
        ": already holds a model, and the best of this run would replace it; choose another --out, "
        "or --no-best");
}

inline std::string absolute(std::string const& path) {
    std::error_code code;
    auto const found = std::filesystem::absolute(path, code).lexically_normal();
    expects<FileError>(path.empty() || !code, path, ": ", code.message());
    return path.empty() ? path : found.native();
}

inline TrainOptions train_options(TrainSettings const& settings) {
    try {
        return settings.train_options();
    } catch (Error const& error) {
        throw UsageError(error.what());
    }
}

// Sets what the command line leaves open: from the run that is resumed, or from the model's recipe.
inline Trainable const& complete(TrainFlags& flags, TrainSettings& settings,
                                 std::optional<std::filesystem::path> const& resumed,
                                 std::span<Trainable const> models) {
    if (resumed) {
        auto const file = format::existing_directory(*resumed) / "trainer.json";
        flags.complete(format::parse_training_state(read_small_file(file), file.native()).options,
                       file.native());
    } else if (flags.given("--max-minutes") && !flags.given("--steps")) {
        flags.complete({{"steps", "0"}}, "--max-minutes");
    }
    if (settings.model.empty() && models.size() == 1) {
        settings.model = models.front().known.name;
    }
    if (settings.model.empty()) {
        throw UsageError("--model is required; the models are " + model_names(models));
    }
    auto const model = std::find_if(models.begin(), models.end(), [&](auto const& candidate) {
        return candidate.known.name == settings.model;
    });
    if (model == models.end()) {
        throw UsageError("there is no model '" + settings.model + "'; the models are " + model_names(models));
    }
    flags.complete(model->known.recipe, message("the recipe of ", settings.model));
    if (settings.data.empty() && !settings.dry_run) {
        throw UsageError("--data is required: the directory that prepare wrote, or files of tokens");
    }
    if (settings.steps == 0 && settings.max_minutes == 0) {
        throw UsageError("--steps 0 means as many as fit into the time: give --max-minutes");
    }
    return *model;
}

inline void train(TrainFlags& flags, TrainSettings& settings, std::string const& program,
                  std::span<Trainable const> models) {
    auto const resumed = checkpoint_to_resume(flags, settings);
    auto const& model = complete(flags, settings, resumed, models);
    TrainRequest request{settings, train_options(settings), flags.saved_flags(), resumed, program, nullptr};
    Computing const computing{.bf16 = settings.dtype == "bf16",
                              .place = {device_called(settings.device), settings.threads}};
    if (settings.dry_run) {
        return describe_run(request, *model.make(request.options, computing));
    }
    if (settings.out.empty()) {
        throw UsageError("--out is required: the directory for the model");
    }
    format::DirectoryLock const lock(settings.out);
    request.lock = &lock;
    protect_output(settings, resumed, best_directory(lock));
    // Resuming may happen elsewhere.
    request.settings.data = request.flags["data"] = absolute(settings.data);
    request.settings.val_data = request.flags["val-data"] = absolute(settings.val_data);
    Run(request, model.make(request.options, computing)).run();
}

inline std::string list_of_models(std::span<Trainable const> models) {
    std::string text = "Models and what they are for; each has a recipe that flags override:\n";
    for (auto const& model : models) {
        auto const gap = std::max<std::size_t>(22, model.known.name.size() + 1) - model.known.name.size();
        text += "  " + model.known.name + std::string(gap, ' ') + model.known.purpose + "\n";
    }
    return text;
}

}  // namespace detail

/// Trains one of some models on tokens that `prepare` wrote, as the command line says; what main returns.
///
/// A run is a directory: the model as Hugging Face lays it out, and what continuing needs. It is written as a whole at
/// every save; an existing run is only ever continued (--resume), never begun anew. Exit status: 0, also when a signal
/// or the time limit ended the run after saving it; 1 if something cannot be done; 2 if the command line is wrong; 130
/// after a second signal.
inline int train(int argc, char const* const* argv, std::span<Trainable const> models) {
    Program program("train", "Trains a model on prepared tokens.");
    if (models.size() > 1) {
        program.footer(detail::list_of_models(models));
    }
    TrainSettings settings;
    TrainFlags flags(program, settings);
    Interrupt const interrupt;
    return run(program, argc, argv, [&] {
        try {
            detail::train(flags, settings, shell_word(argv[0]), models);
            return kSuccess;
        } catch (detail::UsageError const& error) {
            return detail::wrong_usage(program, error.what());
        }
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
