// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_FUZZ_READERS_HPP
#define DEEPSEEK_TESTS_FUZZ_READERS_HPP

#include <deepseek/app/prepare/document_reader.hpp>
#include <deepseek/app/prepare/document_text.hpp>
#include <deepseek/app/prepare/inputs.hpp>
#include <deepseek/app/prepare/settings.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/data/token_file.hpp>
#include <deepseek/format/config.hpp>
#include <deepseek/format/safetensors.hpp>
#include <deepseek/format/tensor_source.hpp>
#include <deepseek/format/training_state.hpp>
#include <deepseek/text/tiktoken.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/tokenizer_json.hpp>
#include <deepseek/text/vocab_merges.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Everything that reads a file which somebody else wrote, as functions of its bytes. Whatever the bytes are, each returns or
// throws a deepseek::Error; anything else is a finding. What was accepted is used a little.

namespace deepseek_tests {

namespace ds = deepseek;

/// `directory` is for readers that open files by name.
struct Reader {
    char const* name;
    void (*read)(std::string_view bytes, std::filesystem::path const& directory);
};

namespace detail {

inline void write(std::filesystem::path const& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

inline void use(ds::text::Tokenizer const& tokenizer) {
    static_cast<void>(
        tokenizer.decode(tokenizer.encode("It's 1234 words, h\u00e9 \u4f60\n\n  <|endoftext|>")));
}

inline void read_safetensors(std::string_view bytes, std::filesystem::path const&) {
    // A copy of just this size, so that a read beyond it is seen.
    std::vector<char> const copy(bytes.begin(), bytes.end());
    auto const file = ds::format::SafetensorsFile::parse(std::as_bytes(std::span(copy)));
    for (auto const& tensor : file.tensors()) {
        if (file.find(tensor.name) != &tensor) {
            std::abort();
        }
    }
}

// Beside the index lies one file with one tensor "w".
inline void read_index(std::string_view bytes, std::filesystem::path const& directory) {
    static constexpr std::string_view kHeader = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    auto const shard = directory / "a.safetensors";
    if (!std::filesystem::exists(shard)) {
        std::string file{static_cast<char>(kHeader.size()), 0, 0, 0, 0, 0, 0, 0};
        write(shard, (file += kHeader) += std::string(4, '\0'));
    }
    auto const index = directory / "model.safetensors.index.json";
    write(index, bytes);
    static_cast<void>(ds::format::TensorSource::open(index));
}

inline void read_config(std::string_view bytes, std::filesystem::path const&) {
    auto const config = ds::format::parse_config(bytes);
    std::string text;
    try {
        text = ds::format::format_config(config);
    } catch (ds::Error const&) {
        return;  // what is read for its numbers alone
    }
    static_cast<void>(ds::format::parse_config(text));
}

inline void read_tokenizer_json(std::string_view bytes, std::filesystem::path const&) {
    auto data = ds::text::parse_tokenizer_json(bytes);
    auto const saved = ds::text::to_tokenizer_json(data);
    use(ds::text::Tokenizer(std::move(data)));
    static_cast<void>(ds::text::parse_tokenizer_json(saved));
}

// The vocabulary, a byte 0, the merges.
inline void read_vocab_merges(std::string_view bytes, std::filesystem::path const& directory) {
    auto const end = std::min(bytes.find('\0'), bytes.size());
    write(directory / "vocab.json", bytes.substr(0, end));
    write(directory / "merges.txt", bytes.substr(std::min(end + 1, bytes.size())));
    use(ds::text::load_vocab_merges(directory / "vocab.json", directory / "merges.txt"));
}

inline void read_tiktoken(std::string_view bytes, std::filesystem::path const&) {
    static auto const encodings = ds::text::tiktoken_encodings();
    use(ds::text::Tokenizer(ds::text::parse_tiktoken(bytes, "ranks", encodings.front())));
}

inline void read_tokens(std::string_view bytes, std::filesystem::path const& directory) {
    write(directory / "tokens.bin", bytes);
    ds::data::TokenFile const file(directory / "tokens.bin", 50257);
    std::array<ds::Token, 256> tokens{};
    for (ds::index_t at = 0; at < file.size(); at += 256) {
        auto const count = std::min<ds::index_t>(256, file.size() - at);
        file.read(at, std::span(tokens).first(static_cast<std::size_t>(count)));
    }
}

inline void read_training_state(std::string_view bytes, std::filesystem::path const&) {
    static_cast<void>(ds::format::parse_training_state(bytes));
}

// Also compressed: that is seen by the first bytes.
inline void read_jsonl(std::string_view bytes, std::filesystem::path const&) {
    ds::app::Input input;
    input.file = {.path = "input.jsonl",
                  .contents = std::string(bytes),
                  .bytes = static_cast<ds::index_t>(bytes.size())};
    input.format = ds::app::InputFormat::jsonl;
    ds::app::PrepareSettings const settings;
    ds::app::detail::LineReader lines(input.file);
    ds::app::DocumentText text(settings);
    ds::app::Dropped dropped;
    std::string line;
    for (ds::index_t number = 1; lines.next(line, dropped); ++number) {
        static_cast<void>(text(input, number, line, dropped));
        line.clear();
    }
}

}  // namespace detail

inline constexpr std::array kReaders{
    Reader{"safetensors", detail::read_safetensors},
    Reader{"index", detail::read_index},
    Reader{"config", detail::read_config},
    Reader{"tokenizer_json", detail::read_tokenizer_json},
    Reader{"vocab_merges", detail::read_vocab_merges},
    Reader{"tiktoken", detail::read_tiktoken},
    Reader{"tokens", detail::read_tokens},
    Reader{"training_state", detail::read_training_state},
    Reader{"jsonl", detail::read_jsonl},
};

}  // namespace deepseek_tests

#endif
