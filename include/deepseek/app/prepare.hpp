// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_HPP
#define DEEPSEEK_APP_PREPARE_HPP

#include <deepseek/app/cli.hpp>
#include <deepseek/app/interrupt.hpp>
#include <deepseek/app/prepare/recipes.hpp>
#include <deepseek/app/prepare/run.hpp>
#include <deepseek/app/prepare/settings.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>

namespace deepseek::inline DEEPSEEK_ABI::app {

namespace detail {

inline void add_prepare_flags(Program& program, PrepareSettings& s) {
    auto const count = in_range<index_t>(0, index_t{1} << 40);
    program
        .add_option("--input", s.inputs,
                    "files of text, JSON lines or Parquet, packed by gzip or zstd or not; directories, "
                    "quoted patterns")
        ->group("Text")
        ->default_str("");
    program
        .add_option(
            "--format", s.format,
            "text, jsonl, parquet; auto: by the names *.jsonl, *.ndjson, *.json, *.parquet, otherwise text")
        ->group("Text")
        ->check(CLI::IsMember({"auto", "text", "jsonl", "parquet"}).description(""));
    program
        .add_option("--separator", s.separator,
                    "text between documents; a file of text without it is a document")
        ->group("Text");
    program.add_option("--text-field", s.text_field, "where JSON lines and Parquet hold the text")
        ->group("Text");

    program
        .add_option_function<std::string>(
            "--whitespace", [&s](std::string const& choice) { s.collapse_whitespace = choice == "collapse"; },
            "keep, or collapse every run of it into one blank")
        ->group("Documents")
        ->default_str("keep")
        ->check(CLI::IsMember({"keep", "collapse"}).description(""));
    program.add_option("--min-bytes", s.min_bytes, "drop shorter documents")
        ->group("Documents")
        ->check(count);
    program.add_option("--documents", s.documents, "take so many documents; 0: all")
        ->group("Documents")
        ->check(count);
    program.add_option("--validation", s.validation, "share of the text to validate with")
        ->group("Documents")
        ->check(in_range(1e-6, 0.9));
    program.add_option("--seed", s.seed.value, "chooses the documents to validate with")
        ->group("Documents")
        ->check(in_range<std::uint64_t>(0, std::numeric_limits<std::uint64_t>::max()));

    program
        .add_option(
            "--tokenizer", s.tokenizer,
            "bytes, train:VOCABULARY, a tokenizer.json or tiktoken file, or a directory with a tokenizer")
        ->group("Tokens")
        ->default_str("")
        ->check([](std::string const& choice) -> std::string {
            return choice.starts_with(kTrainTokenizer) && vocabulary_to_train(choice) == 0
                       ? choice + ": expected train: and a number above 256"
                       : "";
        });
    program.add_flag("--end-of-text,!--no-end-of-text", s.end_of_text, "end every document with it")
        ->group("Tokens")
        ->default_str("true");
    program
        .add_option("--chunk", s.chunk,
                    "keep only whole chunks of so many tokens of a document; 0: all tokens")
        ->group("Tokens")
        ->check(count);

    program.add_option("--output", s.output, "directory to write, made if it is missing")
        ->group("Output")
        ->check(not_empty())
        ->default_str("");
    program.add_flag("--force", s.force, "replace a data set that is there")->group("Output");
    program.add_option("--jobs", s.jobs, "threads to encode with")->group("Output")->check(in_range(1, 1024));
    program.add_flag("--quiet", s.quiet, "no progress on stderr")->group("Output");
}

// Sets the flags that the command line leaves open.
inline void apply(PrepareRecipe const& recipe, Program& program) {
    for (auto const& [name, value] : recipe.flags) {
        if (auto* const option = program.get_option("--" + name); option->count() == 0) {
            option->add_result(value);
            option->run_callback();
        }
    }
}

}  // namespace detail

/// The program `prepare`: turns text into what `train` reads, a directory with
///
///     train.bin, validation.bin   token ids, little-endian, without header; every document ends with end-of-text
///     tokenizer.json              the tokenizer, as Hugging Face tokenizers read it
///     tokenizer_config.json       which token ends a text, as Hugging Face transformers read it
///     meta.json                   type of the ids, vocabulary, and counts of everything kept and dropped
///
/// They appear together, and only if everything went well; a data set that was there is replaced only with --force. The
/// same input and flags give the same bytes, whatever the number of threads. A run that was stopped is gone on with by the
/// same command.
///
/// For validation some documents are kept, chosen by their hashes; of fewer documents than would give one, the last part
/// of each. Gives what main returns: 0; 1 if something cannot be done; 2 if the command line is wrong.
inline int prepare(int argc, char const* const* argv) {
    PrepareSettings settings;
    Program program("prepare", "Turns text into tokens to train on.");
    std::string name;
    auto const recipes = prepare_recipes();
    std::string footer = "Recipes, which without --input say what to download; flags override them:\n";
    for (auto const& recipe : recipes) {
        footer += formatted("  %-22s%s\n", recipe.name, recipe.purpose);
    }
    program.footer(footer);
    program.add_option("recipe", name, "a data set that others publish")
        ->type_name("[RECIPE]")
        ->default_str("");
    detail::add_prepare_flags(program, settings);
    Interrupt const interrupt;
    return run(program, argc, argv, [&] {
        if (!name.empty()) {
            auto const recipe = std::find_if(recipes.begin(), recipes.end(),
                                             [&](auto const& candidate) { return name == candidate.name; });
            if (recipe == recipes.end()) {
                return detail::wrong_usage(
                    program, "there is no recipe '" + name + "'; they are fineweb-edu, tinystories");
            }
            if (settings.inputs.empty()) {
                std::fputs(walk_through(*recipe).c_str(), stdout);
                return kSuccess;
            }
            detail::apply(*recipe, program);
        }
        for (auto const* const flag : {"--input", "--tokenizer", "--output"}) {
            if (program.get_option(flag)->count() == 0) {
                return detail::wrong_usage(program, std::string(flag) + " is required");
            }
        }
        PrepareRun(settings).run();
        return kSuccess;
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
