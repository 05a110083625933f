// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_SUPPORT_DATA_HPP
#define DEEPSEEK_TESTS_SUPPORT_DATA_HPP

#include "skip.hpp"

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace deepseek_tests {

/// Files checked in beside the tests.
inline std::filesystem::path source_dir() { return DEEPSEEK_SOURCE_DIR; }

/// Where `prepare`, `train` and `generate` were built.
inline std::filesystem::path program_dir() { return DEEPSEEK_PROGRAM_DIR; }

/// A public data set or model file, too large to be checked in: $DEEPSEEK_TEST_DATA/name, by default a folder beside
/// the clone. Where it is missing the run is marked as skipped and nothing is returned.
inline std::optional<std::filesystem::path> test_data(std::string const& name) {
    char const* const chosen = std::getenv("DEEPSEEK_TEST_DATA");
    auto const path = std::filesystem::path(chosen != nullptr ? chosen : DEEPSEEK_TEST_DATA_DEFAULT) / name;
    if (std::filesystem::exists(path)) {
        return path;
    }
    skip("no " + name + " in the folder of test data; set DEEPSEEK_TEST_DATA");
    return std::nullopt;
}

}  // namespace deepseek_tests

#endif
