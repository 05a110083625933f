// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DATA_TOKEN_FILES_HPP
#define DEEPSEEK_DATA_TOKEN_FILES_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/data/matching_files.hpp>
#include <deepseek/data/token_file.hpp>
#include <deepseek/data/token_meta.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/directory_calls.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::data {

/// The tokens of several files, one behind the other: what is cut into shards is one text. See TokenFile.
///
/// Errors:    those of TokenFile; FileError if the process may not open so many files; Error if there is none
class TokenFiles {
public:
    TokenFiles(std::vector<std::filesystem::path> const& paths, index_t vocabulary,
               std::optional<TokenWidth> width = {}) {
        expects(!paths.empty(), "no token files");
        std::filesystem::path directory;
        std::optional<TokenWidth>
            beside;  // what its meta.json says: reading it for every shard would take long
        for (auto const& path : paths) {
            if (auto const parent = format::existing_directory(path.parent_path());
                !width && (ends_.empty() || parent != directory)) {
                directory = parent;
                beside = detail::width_beside(parent, vocabulary);
            }
            files_.emplace_back(path, vocabulary, width ? width : beside);
            ends_.push_back(size() + files_.back().size());
        }
    }
    TokenFiles(std::filesystem::path const& path, index_t vocabulary, std::optional<TokenWidth> width = {})
        : TokenFiles(std::vector{path}, vocabulary, width) {}

    std::span<TokenFile const> files() const { return files_; }
    /// What they are called in messages.
    std::string name() const {
        auto const first = files_.front().path().native();
        return files_.size() == 1 ? first : message(first, " and ", files_.size() - 1, " more");
    }
    index_t vocabulary() const { return files_.front().vocabulary(); }
    /// Number of tokens of all of them.
    index_t size() const { return ends_.empty() ? 0 : ends_.back(); }

    /// Copies the tokens [begin, begin + out.size()); see TokenFile::read.
    void read(index_t begin, std::span<Token> out) const {
        auto const count = static_cast<index_t>(out.size());
        if (begin < 0 || begin > size() || count > size() - begin) [[unlikely]] {
            throw Error(
                message(name(), ": ", count, " tokens from ", begin, " on asked for, there are ", size()));
        }
        auto at =
            static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), begin) - ends_.begin());
        for (; !out.empty(); ++at) {
            auto const here = out.first(std::min(out.size(), static_cast<std::size_t>(ends_[at] - begin)));
            files_[at].read(begin - (ends_[at] - files_[at].size()), here);
            begin += static_cast<index_t>(here.size());
            out = out.subspan(here.size());
        }
    }

private:
    std::vector<TokenFile> files_;
    std::vector<index_t> ends_;  // of each file, counted from the beginning of the first
};

/// The training tokens of a directory: train.bin, or shards *train*.bin as llm.c names them.
///
/// Errors:    FileError if the directory has neither
inline std::vector<std::filesystem::path> training_files(std::filesystem::path const& directory) {
    auto const found = format::existing_directory(directory);
    auto files = format::detail::exists(found / "train.bin") ? std::vector{found / "train.bin"}
                                                             : matching_files(found / "*train*.bin");
    expects<FileError>(!files.empty(), directory.native(), ": has neither train.bin nor shards *train*.bin");
    return files;
}

/// The validation tokens of a directory: validation.bin, or val.bin as others name it, or shards *val*.bin.
///
/// Errors:    FileError if the directory has none of them
inline std::vector<std::filesystem::path> validation_files(std::filesystem::path const& directory) {
    auto const found = format::existing_directory(directory);
    for (auto const* const file : {"validation.bin", "val.bin"}) {
        if (format::detail::exists(found / file)) {
            return {found / file};
        }
    }
    auto files = matching_files(found / "*val*.bin");
    expects<FileError>(!files.empty(), directory.native(),
                       ": has neither validation.bin nor val.bin nor shards *val*.bin");
    return files;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::data

#endif
