// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_SETTINGS_HPP
#define DEEPSEEK_APP_PREPARE_SETTINGS_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/text/tokenizer_data.hpp>

#include <algorithm>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// The flags of `prepare`.
struct PrepareSettings {
    // Text.
    std::vector<std::string> inputs;  ///< files, directories, patterns
    std::string format = "auto";      ///< or text, jsonl, parquet
    std::string separator = std::string(text::kEndOfText);
    std::string text_field = "text";

    // Documents.
    bool collapse_whitespace = false;  ///< every run of white space becomes one blank, none at the ends
    index_t min_bytes = 0;             ///< shorter documents are dropped
    index_t documents = 0;             ///< as many as are taken; 0: all
    double validation = 0.05;
    Seed seed{1};

    // Tokens.
    std::string tokenizer;
    bool end_of_text = true;  ///< every document ends with it
    index_t chunk = 0;  ///< documents are cut into chunks of so many tokens, and the rest is dropped; 0: not

    // Output.
    std::string output;
    bool force = false;
    bool quiet = false;
    unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
