// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_EXPORT_HPP
#define DEEPSEEK_APP_EXPORT_HPP

#include <deepseek/app/cli.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/config.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/gguf_model.hpp>
#include <deepseek/format/gguf_writer.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/tensor_source.hpp>
#include <deepseek/text/gguf_tokenizer.hpp>
#include <deepseek/text/load.hpp>
#include <deepseek/text/tokenizer.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

namespace detail {

struct ExportSettings {
    std::string model;
    std::string gguf;
    std::string type = "f32";
    bool tokenizer = true;
};

inline format::GgmlType ggml_type(std::string_view text) {
    using enum format::GgmlType;
    return text == "q8_0" ? q8_0 : text == "bf16" ? bf16 : f32;
}

inline void export_gguf(ExportSettings const& settings) {
    auto const directory = format::existing_directory(settings.model);
    expects<FileError>(format::detail::is_directory(directory), settings.model, ": no such model directory");
    auto const config = format::read_config(directory);
    auto const obstacles = format::gguf_obstacles(config);
    if (!obstacles.empty()) {
        throw FormatError(format::detail::listed(message((directory / "config.json").native(),
                                                         ": llama.cpp's deepseek2 cannot compute this model"),
                                                 obstacles));
    }
    auto const type = ggml_type(settings.type);
    auto const source = format::TensorSource::open(directory);
    auto const tensors = format::gguf_tensors(config, source, type);

    format::GgufMetadata metadata;
    auto const named = directory.has_filename() ? directory : directory.parent_path();
    format::add_model_metadata(metadata, config, named.filename().native(), type);
    if (settings.tokenizer) {
        auto const tokenizer = text::load_tokenizer(directory);
        auto ends = config.eos_token_ids;
        if (ends.empty() && tokenizer.has_end_of_text()) {
            ends.push_back(tokenizer.end_of_text());
        }
        auto const begin = config.bos_token_id || ends.empty() ? config.bos_token_id : std::optional(ends[0]);
        text::add_tokenizer_metadata(metadata, tokenizer.data(), config.vocab_size, begin, ends);
    } else {
        metadata.add_string("tokenizer.ggml.model", "none");
    }
    format::write_gguf(settings.gguf, metadata, tensors);

    index_t bytes = 0;
    index_t other = 0;  // matrices whose rows are not made of blocks
    for (auto const& tensor : tensors) {
        bytes += tensor.bytes();
        other +=
            tensor.extents.size() > 1 && tensor.type == format::GgmlType::bf16 && tensor.type != type ? 1 : 0;
    }
    std::fprintf(stderr, "%s: %zu tensors, %.1f MB\n", settings.gguf.c_str(), tensors.size(),
                 static_cast<double>(bytes) / 1e6);
    if (other > 0) {
        std::fprintf(
            stderr,
            "note: %lld matrices are bf16: their rows are no multiple of the 32 values of a q8_0 block\n",
            static_cast<long long>(other));
    }
    if (config.num_nextn_predict_layers > 0) {
        std::fprintf(stderr, "note: MTP modules are left out, as by llama.cpp's own conversion\n");
    }
}

}  // namespace detail

/// The program `export`: a Hugging Face model directory, of any sizes, as a file that other engines read.
///
/// Exit status: 0; 1 if something cannot be done; 2 if the command line is wrong.
inline int export_model(int argc, char const* const* argv) {
    Program program("export", "Writes a model directory as a GGUF file for llama.cpp.");
    detail::ExportSettings settings;
    program.add_option("model", settings.model, "directory: config.json, model.safetensors, tokenizer.json")
        ->required();
    program.add_option("--gguf", settings.gguf, "file to write")->required()->check(not_empty());
    program.add_option("--type", settings.type, "of matrices; vectors and routers are f32")
        ->check(CLI::IsMember({"f32", "bf16", "q8_0"}));
    program.add_flag("!--no-tokenizer", settings.tokenizer, "leave the tokenizer out");
    return run(program, argc, argv, [&] { detail::export_gguf(settings); });
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
