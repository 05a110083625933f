// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DATA_MATCHING_FILES_HPP
#define DEEPSEEK_DATA_MATCHING_FILES_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/format/directory_calls.hpp>
#include <deepseek/format/messages.hpp>

#include <glob.h>

#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::data {

/// The paths that a pattern of the shell stands for ('*', '?', '[abc]'), in the order of their names; none if nothing
/// matches. What exists under the very name of the pattern is meant itself.
///
/// Errors:    FileError if a directory on the way cannot be read
inline std::vector<std::filesystem::path> matching_files(std::filesystem::path const& pattern) {
    if (format::detail::exists(pattern)) {
        return {pattern};
    }
    glob_t found{};
    std::unique_ptr<glob_t, decltype(&::globfree)> const owner(&found, &::globfree);
    auto const code = ::glob(pattern.c_str(), GLOB_ERR, nullptr, &found);
    if (code == GLOB_NOSPACE) {
        throw std::bad_alloc();
    }
    expects<FileError>(code != GLOB_ABORTED, format::detail::in_quotes(pattern.native()),
                       ": a directory on the way cannot be read");
    return {found.gl_pathv, found.gl_pathv + found.gl_pathc};
}

/// The same, where something must match.
///
/// Errors:    FileError naming the pattern
inline std::vector<std::filesystem::path> existing_files(std::filesystem::path const& pattern) {
    auto files = matching_files(pattern);
    bool const is_pattern = pattern.native().find_first_of("*?[") != std::string::npos;
    expects<FileError>(!files.empty(), format::detail::in_quotes(pattern.native()),
                       is_pattern ? ": no file matches" : ": No such file or directory");
    return files;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::data

#endif
