// SPDX-License-Identifier: MIT
// Trains one of the models of models.hpp on tokens that prepare wrote.
//
// A run is a directory: the model as Hugging Face lays it out, and what continuing needs. It is written as a whole at
// every save; an existing run is only ever continued (--resume), never begun anew. Exit status: 0, also when a signal
// or the time limit ended the run after saving it; 1 if something cannot be done; 2 if the command line is wrong; 130
// after a second signal.
#include <deepseek/core/error.hpp>
#include <deepseek/io/directory.hpp>
#include <deepseek/io/file.hpp>
#include <deepseek/io/training_state.hpp>

#include "models.hpp"
#include "support/cli.hpp"
#include "support/interrupt.hpp"
#include "support/shell_word.hpp"
#include "train/flags.hpp"
#include "train/run.hpp"
#include "train/settings.hpp"
#include "train/training.hpp"

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>

namespace {

using namespace deepseek_examples;
namespace fs = std::filesystem;

class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

bool holds_model(fs::path const& directory) {
    for (char const* name : {"config.json", "model.safetensors", "trainer.json"}) {
        if (fs::exists(ds::io::existing_directory(directory) / name)) {
            return true;
        }
    }
    return false;
}

// The checkpoint that --resume asks for. `out` becomes the directory of that run where it was not given.
std::optional<fs::path> checkpoint_to_resume(TrainFlags const& flags, TrainSettings& settings) {
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
    auto const directory = ds::io::existing_directory(elsewhere ? settings.resume : settings.out);
    if (settings.resume == "auto" && !fs::exists(directory / "trainer.json")) {
        return std::nullopt;
    }
    ds::expects<ds::FileError>(fs::exists(directory / "trainer.json"), directory.native(),
                               ": holds no run to continue (no trainer.json)");
    return directory;
}

// A run or a model that is already there is never overwritten by another.
void protect_output(TrainSettings const& settings, std::optional<fs::path> const& resumed) {
    if (settings.out.empty()) {
        throw UsageError("--out is required: the directory for the model");
    }
    std::error_code ignored;
    bool const same = resumed && fs::equivalent(*resumed, ds::io::existing_directory(settings.out), ignored);
    ds::expects<ds::FileError>(
        same || !holds_model(settings.out), settings.out,
        ": already holds a model; continue its run with --resume, or choose another --out");
}

ds::TrainOptions train_options(TrainSettings const& settings) {
    try {
        return settings.train_options();
    } catch (ds::Error const& error) {
        throw UsageError(error.what());
    }
}

// Sets what the command line leaves open: from the run that is resumed, or from the model's recipe.
void complete(TrainFlags& flags, TrainSettings const& settings, std::optional<fs::path> const& resumed) {
    if (resumed) {
        auto const file = *resumed / "trainer.json";
        flags.complete(ds::io::parse_training_state(ds::read_file(file), file.native()).options,
                       file.native());
    } else if (flags.given("--max-minutes") && !flags.given("--steps")) {
        flags.complete({{"steps", "0"}}, "--max-minutes");
    }
    if (settings.model.empty()) {
        throw UsageError("--model is required; the models are " + model_names());
    }
    bool const known = with_model(settings.model, [&](auto const& model) {
        SavedFlags recipe;
        for (auto const& [name, value] : model.recipe) {
            recipe.emplace(name, value);
        }
        recipe.erase("");  // of the entries that a recipe does not need
        flags.complete(recipe, ds::message("the recipe of ", settings.model));
    });
    if (!known) {
        throw UsageError("there is no model '" + settings.model + "'; the models are " + model_names());
    }
    if (settings.data.empty() && !settings.dry_run) {
        throw UsageError("--data is required: the directory that prepare wrote");
    }
    if (settings.steps == 0 && settings.max_minutes == 0) {
        throw UsageError("--steps 0 means as many as fit into the time: give --max-minutes");
    }
}

void train(TrainFlags& flags, TrainSettings& settings, std::string const& program) {
    auto const resumed = checkpoint_to_resume(flags, settings);
    complete(flags, settings, resumed);
    TrainRequest request{settings, train_options(settings), flags.saved_flags(), resumed, program};
    if (!settings.dry_run) {
        protect_output(settings, resumed);
        // Resuming may happen elsewhere.
        request.settings.data = request.flags["data"] =
            fs::absolute(settings.data).lexically_normal().native();
    }
    with_model(settings.model, [&]<class M>(Known<M> const&) {
        if (settings.dry_run) {
            describe_run(request, facts_of<M>());
        } else {
            Run(request, make_training<M>(request.options, settings.threads)).run();
        }
    });
}

std::string list_of_models() {
    std::string text = "Models and what they are for; each has a recipe that flags override:\n";
    for_each_model([&](auto const& model) {
        text += "  " + std::string(model.name) + std::string(22 - model.name.size(), ' ') +
                std::string(model.purpose) + "\n";
    });
    return text;
}

}  // namespace

int main(int argc, char** argv) {
    Program program("train", "Trains a model on prepared tokens.");
    program.footer(list_of_models());
    TrainSettings settings;
    TrainFlags flags(program, settings);
    Interrupt const interrupt;
    return run(program, argc, argv, [&] {
        try {
            train(flags, settings, shell_word(argv[0]));
            return kSuccess;
        } catch (UsageError const& error) {
            return detail::wrong_usage(program, error.what());
        }
    });
}
