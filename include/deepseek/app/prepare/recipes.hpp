// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_RECIPES_HPP
#define DEEPSEEK_APP_PREPARE_RECIPES_HPP

#include <deepseek/app/known_model.hpp>
#include <deepseek/core/error.hpp>

#include <array>
#include <string>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// A data set that others publish, and how the from-scratch project (the model FromScratch100M follows it) prepared it:
/// GPT-2's ids without end-of-text, 95 % of the documents to train on.
struct PrepareRecipe {
    char const* name;
    char const* purpose;
    SavedFlags flags;        ///< used where the command line says nothing else
    char const* model;       ///< of `train`
    std::string_view steps;  ///< that download it; the paths are those of the commands that follow
};

inline std::array<PrepareRecipe, 2> prepare_recipes() {
    return {
        {{"fineweb-edu",
          "2 million documents of FineWeb-Edu in whole chunks of 1024 tokens, as the from-scratch project",
          {{"whitespace", "collapse"},
           {"chunk", "1024"},
           {"end-of-text", "false"},
           {"documents", "2000000"},
           {"validation", "0.05"},
           {"seed", "42"}},
          "from-scratch-100m",
          R"(# FineWeb-Edu (ODC-By 1.0), crawl CC-MAIN-2024-51, as Parquet, with pip install huggingface_hub:
hf download HuggingFaceFW/fineweb-edu --repo-type dataset --include 'data/CC-MAIN-2024-51/*.parquet' --local-dir fineweb-edu
# or, to try it, one file of its smallest sample, about 2 GB:
curl -L --create-dirs -o fineweb-edu/000_00000.parquet https://huggingface.co/datasets/HuggingFaceFW/fineweb-edu/resolve/main/sample/10BT/000_00000.parquet
)"},
         {"tinystories",
          "TinyStories, one story behind the other, as the from-scratch project",
          {{"separator", "<|endoftext|>"}, {"end-of-text", "false"}, {"validation", "0.05"}, {"seed", "42"}},
          "tiny-stories",
          R"(# TinyStories (CDLA-Sharing-1.0), about 2 GB:
curl -L --create-dirs -o tinystories/TinyStories-train.txt https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/TinyStories-train.txt
)"}}};
}

/// The commands from nothing to a loss curve.
inline std::string walk_through(PrepareRecipe const& recipe) {
    std::string const name = recipe.name;
    return message(recipe.steps, R"(# GPT-2's tokenizer (MIT):
curl -L --create-dirs -o gpt2/vocab.json https://huggingface.co/openai-community/gpt2/resolve/main/vocab.json
curl -L --create-dirs -o gpt2/merges.txt https://huggingface.co/openai-community/gpt2/resolve/main/merges.txt
# Then:
)",
                   "prepare ", name, " --input ", name, " --tokenizer gpt2 --output data/", name,
                   "\ntrain --model ", recipe.model, " --data data/", name, " --shuffle window --out runs/",
                   name, " --jsonl ", name, ".jsonl  # the loss curve\n");
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
