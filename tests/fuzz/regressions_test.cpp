// SPDX-License-Identifier: MIT
// What the fuzzer once found, tests/fuzz/regressions/<reader>/*, and every file of the test data cut short.
#include "fuzz/readers.hpp"
#include "support/data.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <iterator>

namespace {

using namespace deepseek_tests;

std::string contents(std::filesystem::path const& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Returns, or throws an Error.
void read(Reader const& reader, std::string_view bytes) {
    ScratchDirectory const scratch;
    try {
        reader.read(bytes, scratch.path());
    } catch (ds::Error const&) {
    }
}

}  // namespace

TEST_CASE("readers: files that once went wrong are accepted or refused") {
    for (auto const& reader : kReaders) {
        auto const folder = source_dir() / "tests/fuzz/regressions" / reader.name;
        if (!std::filesystem::exists(folder)) {
            continue;
        }
        for (auto const& entry : std::filesystem::directory_iterator(folder)) {
            CAPTURE(entry.path().native());
            CHECK_NOTHROW(read(reader, contents(entry.path())));
        }
    }
}

TEST_CASE("readers: nothing, nests without end and numbers without end are refused") {
    std::string const deep(200'000, '[');
    std::string const objects = [] {
        std::string text;
        for (int i = 0; i < 50'000; ++i) {
            text += R"({"a":)";
        }
        return text;
    }();
    auto const digits = R"({"vocab_size": )" + std::string(100'000, '9') + "}";
    for (auto const& reader : kReaders) {
        CAPTURE(reader.name);
        for (auto const& bytes : {std::string(), std::string("{}"), deep, objects, digits}) {
            CHECK_NOTHROW(read(reader, bytes));
        }
    }
}

TEST_CASE("readers: a config.json cut short anywhere is accepted or refused") {
    auto const whole = contents(source_dir() / "tests/consumer/source/config.json");
    REQUIRE(whole.size() > 100);
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        CAPTURE(size);
        CHECK_NOTHROW(read(kReaders[2], std::string_view(whole).substr(0, size)));
    }
}
