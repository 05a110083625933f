// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_INPUTS_HPP
#define DEEPSEEK_APP_PREPARE_INPUTS_HPP

#include <deepseek/app/prepare/byte_source.hpp>
#include <deepseek/app/prepare/document_reader.hpp>
#include <deepseek/app/prepare/parquet.hpp>
#include <deepseek/app/prepare/settings.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/data/matching_files.hpp>
#include <deepseek/format/directory_calls.hpp>
#include <deepseek/format/file.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

enum class InputFormat : std::uint8_t { text, jsonl, parquet };

/// A file and how it is read.
struct Input {
    InputFile file;
    InputFormat format = InputFormat::text;
};

namespace detail {

// By the name, where that says it, without what says that it is compressed.
inline std::optional<InputFormat> format_by_name(std::filesystem::path path) {
    for (auto const* const packed : {".gz", ".zst"}) {
        if (path.extension() == packed) {
            path.replace_extension();
            break;
        }
    }
    auto const extension = path.extension().native();
    auto const is_one_of = [&](std::initializer_list<std::string_view> names) {
        return std::find(names.begin(), names.end(), extension) != names.end();
    };
    return is_one_of({".jsonl", ".ndjson", ".json"}) ? std::optional(InputFormat::jsonl)
           : is_one_of({".parquet"})                 ? std::optional(InputFormat::parquet)
           : is_one_of({".txt", ".text"})            ? std::optional(InputFormat::text)
                                                     : std::nullopt;
}

// Text where nothing else is said.
inline InputFormat format_of(InputFile const& file, std::string const& chosen) {
    if (chosen == "auto") {
        return first_bytes(file).starts_with("PAR1") ? InputFormat::parquet
                                                     : format_by_name(file.path).value_or(InputFormat::text);
    }
    return chosen == "jsonl"     ? InputFormat::jsonl
           : chosen == "parquet" ? InputFormat::parquet
                                 : InputFormat::text;
}

// The files of a directory, and of those in it, that are text by their names; hidden ones are not meant.
inline std::vector<std::filesystem::path> texts_in(std::filesystem::path const& directory) {
    namespace fs = std::filesystem;
    std::vector<fs::path> files;
    std::error_code code;
    fs::recursive_directory_iterator at(directory, code);
    for (; !code && at != fs::recursive_directory_iterator(); at.increment(code)) {
        auto const& path = at->path();
        std::error_code ignored;
        if (path.filename().native().starts_with('.')) {
            if (at->is_directory(ignored)) {
                at.disable_recursion_pending();
            }
        } else if (at->is_regular_file(ignored) && format_by_name(path)) {
            files.push_back(path);
        }
    }
    expects<FileError>(!code, directory.native(), ": cannot be listed: ", code.message());
    expects<FileError>(
        !files.empty(), directory.native(),
        ": is a directory without files of text (*.txt, *.text, *.jsonl, *.ndjson, *.json, *.parquet, "
        "with .gz or .zst behind it or not)");
    std::sort(files.begin(), files.end());
    return files;
}

inline InputFile input_file(std::filesystem::path const& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        deepseek::detail::throw_file_error(path, "cannot open", errno);
    }
    if (!S_ISREG(status.st_mode)) {  // it can be read only once
        InputFile file{path, read_file(path)};
        file.bytes = static_cast<index_t>(file.contents->size());
        return file;
    }
    return {path, std::nullopt, status.st_size,
            index_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

}  // namespace detail

/// The files that the settings mean, in the order in which they are named, those of directories and patterns in the order
/// of their names.
///
/// Errors:    FileError naming what is missing or cannot be read
inline std::vector<Input> find_inputs(PrepareSettings const& settings) {
    std::vector<Input> inputs;
    for (auto const& name : settings.inputs) {
        for (auto const& match : data::existing_files(name)) {
            auto const files = format::detail::is_directory(match)
                                   ? detail::texts_in(match)
                                   : std::vector<std::filesystem::path>{match};
            for (auto const& path : files) {
                auto file = detail::input_file(path);
                auto const format = detail::format_of(file, settings.format);
                inputs.push_back({std::move(file), format});
            }
        }
    }
    return inputs;
}

/// What reads the documents of a file; of JSON lines, the lines.
inline std::unique_ptr<DocumentReader> open_documents(Input const& input, PrepareSettings const& settings) {
    switch (input.format) {
        case InputFormat::parquet:
            return detail::open_parquet(input.file, settings.text_field);
        case InputFormat::jsonl:
            return std::make_unique<detail::LineReader>(input.file);
        case InputFormat::text:
            break;
    }
    return std::make_unique<detail::TextReader>(input.file, settings.separator);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
