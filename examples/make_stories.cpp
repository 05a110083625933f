// SPDX-License-Identifier: MIT
// Writes a corpus of little stories, for trying the programs without downloading anything. Equal counts and seeds give
// equal files.
#include <deepseek/app/cli.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/io/file.hpp>

#include "support/stories.hpp"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>

int main(int argc, char** argv) {
    deepseek::app::Program program("make_stories",
                                   "Writes little stories, separated by lines <|endoftext|>.");
    std::uint64_t count = 20'000;
    deepseek::Seed seed{1};
    std::string output;
    program.add_option("--count", count, "stories to write")
        ->check(deepseek::app::in_range<std::uint64_t>(1, 100'000'000));
    program.add_option("--seed", seed.value, "another seed gives other stories")
        ->check(deepseek::app::in_range<std::uint64_t>(0, std::numeric_limits<std::uint64_t>::max()));
    program.add_option("--output", output, "file to write")->required()->default_str("");
    bool force = false;
    program.add_flag("--force", force, "replace a file that is there");
    return deepseek::app::run(program, argc, argv, [&] {
        std::error_code ignored;
        deepseek::expects<deepseek::FileError>(force || !std::filesystem::exists(output, ignored), output,
                                               ": exists; --force replaces it");
        deepseek::AtomicFile file(output);
        for (std::uint64_t number = 0; number < count; ++number) {
            file.write(deepseek_examples::tell_story(seed, number));
            file.write(std::string_view("\n<|endoftext|>\n"));
        }
        file.commit();
        std::fprintf(stderr, "%s: %llu stories\n", output.c_str(), static_cast<unsigned long long>(count));
    });
}
