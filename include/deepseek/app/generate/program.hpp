// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_PROGRAM_HPP
#define DEEPSEEK_APP_GENERATE_PROGRAM_HPP

#include <deepseek/app/cli.hpp>
#include <deepseek/app/device.hpp>
#include <deepseek/app/generate/generation.hpp>
#include <deepseek/app/generate/language_model.hpp>
#include <deepseek/app/instruction_set.hpp>
#include <deepseek/app/interrupt.hpp>
#include <deepseek/app/known_model.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/format/config.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/huggingface.hpp>
#include <deepseek/text/load.hpp>
#include <deepseek/text/utf8.hpp>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

// The program `generate` without the types of its models, so that each of these can have a translation unit of its own;
// app/generate.hpp is the program for one type.

namespace deepseek::inline DEEPSEEK_ABI::app {

/// A model that a program can generate with.
struct Generatable {
    KnownModel known;
    format::HuggingFaceConfig config;  ///< by which a directory's config.json is recognised
    std::unique_ptr<LanguageModel> (*load)(std::filesystem::path const& directory, Placement const& place,
                                           index_t context);
};

template <class M>
Generatable generatable(KnownModel known) {
    return {std::move(known), format::config_of<M>(), &load_language_model<M>};
}

namespace detail {

// The model whose type the config.json describes.
inline Generatable const& choose_model(format::HuggingFaceConfig const& config, std::string const& where,
                                       std::span<Generatable const> models) {
    Generatable const* closest = nullptr;
    std::vector<std::string> fewest;
    for (auto const& model : models) {
        auto lines = format::differences(config, model.config);
        if (lines.empty()) {
            return model;
        }
        if (closest == nullptr || lines.size() < fewest.size()) {
            closest = &model;
            fewest = std::move(lines);
        }
    }
    auto text = models.size() == 1
                    ? message(where, ": describes another model than this program's:")
                    : message(where, ": describes none of the models this program knows, which are ",
                              model_names(models), ". The closest is ", closest->known.name, ":");
    for (auto const& line : fewest) {
        text += "\n  " + line;
    }
    throw FormatError(text +
                      "\nA model is a type: a program for yours is app::generate<YourModel>(argc, argv).");
}

inline constexpr index_t kMostTokens = index_t{1} << 40;

inline void add_flags(Program& program, GenerateSettings& s, std::string& prompt_file, std::int64_t& seed) {
    program
        .add_option("-m,--model", s.model,
                    "directory of the model: config.json, model.safetensors, tokenizer.json")
        ->required()
        ->group("Model");
    program
        .add_option("-c,--ctx-size", s.context, "tokens of prompt and reply together; 0: the model's context")
        ->check(in_range<index_t>(0, kMostTokens))
        ->group("Model");
    program
        .add_option("--device", s.device,
                    "what computes: cpu, cuda, or emulated, a GPU that the processor plays")
        ->check(CLI::IsMember({"cpu", "emulated", "cuda"}).description(""))
        ->group("Model");
    program.add_option("-t,--threads", s.threads, "0: as many as the machine has")
        ->check(in_range(0, 1024))
        ->group("Model");

    auto* const prompt = program.add_option("-p,--prompt", s.prompt, "text to continue")->group("Text");
    program.add_option("-f,--file", prompt_file, "file with the text to continue")
        ->excludes(prompt)
        ->group("Text");
    program
        .add_option("-n,--n-predict", s.count,
                    "tokens to generate; -1: until the text ends or the context is full")
        ->check(in_range<index_t>(-1, kMostTokens))
        ->group("Text");
    program.add_option("-r,--reverse-prompt", s.stops, "text at which to stop; may be given several times")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false)
        ->default_str("")
        ->group("Text");
    program.add_flag("--ignore-eos", s.ignore_end, "never end a text")->group("Text");
    program.add_flag("!--no-bos", s.begin_token, "do not put the token that begins texts before the prompt")
        ->group("Text");
    program.add_flag("!--no-display-prompt", s.show_prompt, "print the reply only")->group("Text");
    program.add_option("--num-samples", s.samples, "how many texts, each with a seed one higher")
        ->check(in_range(1, 1'000'000))
        ->group("Text");
    program.add_flag("--json", s.json, "one JSON object per text instead of the text")->group("Text");

    auto& sampling = s.sampling;
    program.add_option("-s,--seed", seed, "-1: a random one, which the statistics tell")
        ->check(in_range<std::int64_t>(-1, std::numeric_limits<std::int64_t>::max()))
        ->group("Sampling");
    program.add_option("--temp", sampling.temperature, "temperature; 0: always the most likely token")
        ->group("Sampling");
    program.add_option("--top-k", sampling.top_k, "keep so many of the most likely tokens; 0: all")
        ->group("Sampling");
    program.add_option("--top-p", sampling.top_p, "keep tokens up to so much probability; 1: all")
        ->group("Sampling");
    program.add_option("--min-p", sampling.min_p, "keep tokens so probable beside the most likely; 0: all")
        ->group("Sampling");
    program
        .add_option("--repeat-penalty", sampling.repeat_penalty,
                    "make tokens that occurred less likely; 1: off")
        ->group("Sampling");
    program.add_option("--repeat-last-n", sampling.repeat_last, "among the last so many; 0: off, -1: all")
        ->group("Sampling");

    auto* const interactive =
        program
            .add_flag("-i,--interactive", s.interactive,
                      "talk: every line of stdin is appended and continued; Ctrl-C stops a reply")
            ->group("Mode");
    program
        .add_option("--perplexity", s.perplexity,
                    "score this file instead of generating; special tokens are read as such")
        ->excludes(interactive)
        ->group("Mode");
}

inline int generate(Program const& program, GenerateSettings settings, std::string const& prompt_file,
                    std::int64_t seed, std::span<Generatable const> models) {
    try {
        settings.sampling.seed = Seed{seed >= 0 ? static_cast<std::uint64_t>(seed) : std::random_device{}()};
        settings.sampling.validate();
    } catch (Error const& error) {
        return wrong_usage(program, error.what());
    }
    if (!prompt_file.empty()) {
        settings.prompt = read_file(prompt_file);
        text::expects_utf8(settings.prompt, prompt_file);
        if (settings.prompt.ends_with('\n')) {  // editors end files with one; it is hardly meant
            settings.prompt.pop_back();
        }
    }

    auto const directory = format::existing_directory(settings.model);
    expects<FileError>(format::detail::is_directory(directory), settings.model, ": no such model directory");
    auto const config = format::read_config(directory);
    auto const& model = choose_model(config, (directory / "config.json").native(), models);
    auto const tokenizer = text::load_tokenizer(directory);
    std::optional<Token> end;
    if (!config.eos_token_ids.empty()) {
        end = static_cast<Token>(config.eos_token_ids.front());
    } else if (tokenizer.has_end_of_text()) {
        end = tokenizer.end_of_text();
    }
    // A model without a token of its own for it saw the one between documents before every text.
    auto const begin = config.bos_token_id ? std::optional(static_cast<Token>(*config.bos_token_id)) : end;

    if (auto const why = slow_build(); !why.empty()) {
        std::fprintf(stderr, "warn    %s\n", why.c_str());
    }
    Generation generation(
        settings, model.load(directory, {device_called(settings.device), settings.threads}, settings.context),
        tokenizer, begin, end);
    if (!settings.perplexity.empty()) {
        generation.score();
    } else if (settings.interactive) {
        generation.talk();
    } else {
        generation.tell();
    }
    return Interrupt::requested() ? 130 : kSuccess;
}

}  // namespace detail

/// Continues texts with a model that `train` wrote, or that comes from elsewhere as a Hugging Face directory, as the
/// command line says; what main returns.
///
/// The model is the one that the directory's config.json describes. Text goes to stdout, everything else to stderr.
/// Exit status: 0; 1 if something cannot be done; 2 if the command line is wrong; 130 after Ctrl-C.
inline int generate(int argc, char const* const* argv, std::span<Generatable const> models) {
    Program program("generate", "Continues texts with a trained model.");
    GenerateSettings settings;
    std::string prompt_file;
    std::int64_t seed = -1;
    detail::add_flags(program, settings, prompt_file, seed);
    Interrupt const interrupt;
    return run(program, argc, argv,
               [&] { return detail::generate(program, settings, prompt_file, seed, models); });
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
