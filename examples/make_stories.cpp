// SPDX-License-Identifier: MIT
// Writes a corpus of little stories and rhymes, for trying the programs without downloading anything. Equal counts and seeds give
// equal files. With --names it looks at stories that a model told instead, and says how many of them keep to their
// people: `generate … --num-samples 20 --json | make_stories --names /dev/stdin`.
#include <deepseek/app/cli.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/json.hpp>

#include "support/stories.hpp"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

namespace {

// A story has a hero and mostly a friend.
int judge(std::string const& told) {
    std::istringstream lines(deepseek::read_file(told));
    int stories = 0;
    int kept = 0;
    for (std::string line; std::getline(lines, line); ++stories) {
        auto const json = deepseek::format::parse_json(line, told);
        deepseek::expects<deepseek::FormatError>(
            json.is_object() && json.contains("prompt") && json.contains("text"), told, ": line ",
            stories + 1, ": is not what generate --json writes");
        auto const text = json["prompt"].get<std::string>() + json["text"].get<std::string>();
        kept += deepseek_examples::count_names(text) <= 2 ? 1 : 0;
    }
    std::printf("%d of %d stories keep to their people: at most two names in each\n", kept, stories);
    return deepseek::app::kSuccess;
}

}  // namespace

int main(int argc, char** argv) {
    deepseek::app::Program program("make_stories",
                                   "Writes little stories and rhymes, separated by lines <|endoftext|>.");
    std::uint64_t count = 20'000;
    deepseek::Seed seed{1};
    std::string output;
    program.add_option("--count", count, "stories to write, each with a rhyme")
        ->check(deepseek::app::in_range<std::uint64_t>(1, 100'000'000));
    program.add_option("--seed", seed.value, "another seed gives other stories")
        ->check(deepseek::app::in_range<std::uint64_t>(0, std::numeric_limits<std::uint64_t>::max()));
    program.add_option("--output", output, "file to write")->default_str("");
    std::string told;
    program
        .add_option("--names", told, "what `generate --json` wrote: count the names in it instead of writing")
        ->default_str("");
    bool force = false;
    program.add_flag("--force", force, "replace a file that is there");
    return deepseek::app::run(program, argc, argv, [&] {
        if (!told.empty()) {
            return judge(told);
        }
        if (output.empty()) {
            return deepseek::app::detail::wrong_usage(program, "--output is required: the file to write");
        }
        std::error_code ignored;
        deepseek::expects<deepseek::FileError>(force || !std::filesystem::exists(output, ignored), output,
                                               ": exists; --force replaces it");
        deepseek::AtomicFile file(output);
        for (std::uint64_t number = 0; number < count; ++number) {
            for (auto const& text :
                 {deepseek_examples::tell_story(seed, number), deepseek_examples::tell_rhyme(seed, number)}) {
                file.write(text);
                file.write(std::string_view("\n<|endoftext|>\n"));
            }
        }
        file.commit();
        std::fprintf(stderr, "%s: %llu stories and as many rhymes\n", output.c_str(),
                     static_cast<unsigned long long>(count));
        return deepseek::app::kSuccess;
    });
}
