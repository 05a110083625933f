// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_TOKENIZER_FILES_HPP
#define DEEPSEEK_FORMAT_TOKENIZER_FILES_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/format/file.hpp>

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

// What a checkpoint has of a tokenizer.

namespace deepseek::inline DEEPSEEK_ABI::format::detail {

inline constexpr index_t kTokenizerBytes = index_t{512} << 20;  // no tokenizer comes near

inline constexpr std::array<std::string_view, 2> kTokenizerFiles = {"tokenizer.json",
                                                                    "tokenizer_config.json"};

// For transformers: the class that takes tokenizer.json at its word, which model_type alone does not choose.
inline constexpr std::string_view kPlainTokenizerConfig =
    "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"clean_up_tokenization_spaces\": false\n}\n";

// Names and texts of a checkpoint's tokenizer files. `tokenizer` is a tokenizer.json, from beside which the other file
// comes, too; where that is empty they are those of the checkpoint replaced, as far as there are any.
inline std::vector<std::pair<std::string_view, std::string>> tokenizer_files(
    std::filesystem::path const& tokenizer, std::filesystem::path const& replaced) {
    std::vector<std::pair<std::string_view, std::string>> files;
    auto const [name, config] = kTokenizerFiles;
    auto const add = [&](std::string_view as, std::filesystem::path const& path) {
        std::error_code none;
        bool const there = std::filesystem::exists(path, none);
        if (there) {
            files.emplace_back(as, read_small_file(path, kTokenizerBytes));
        }
        return there;
    };
    if (tokenizer.empty()) {
        add(name, replaced / name);
        add(config, replaced / config);
    } else {
        files.emplace_back(name, read_small_file(tokenizer, kTokenizerBytes));
        if (!add(config, tokenizer.parent_path() / config)) {
            files.emplace_back(config, kPlainTokenizerConfig);
        }
    }
    return files;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format::detail

#endif
