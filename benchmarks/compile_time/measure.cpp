// SPDX-License-Identifier: MIT
// What including the library costs a user: seconds and memory of the compiler, size of the object, for the
// translation units beside this file, against the budgets of the project.
//
//     build/bench/benchmarks/compile_time [COMPILER]
//
// Compiles each unit three times with -O2 and prints the fastest. Ends with 1 if a budget is exceeded.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Cost {
    double seconds = 0;
    double megabytes = 0;  // peak of the largest process: the compiler proper
    std::uintmax_t object_bytes = 0;
};

// Environment variables would be a way around ccache; calling the compiler itself is a surer one.
Cost compile(std::string const& compiler, std::filesystem::path const& source,
             std::filesystem::path const& object) {
    std::vector<std::string> command{compiler,
                                     "-std=c++20",
                                     "-O2",
                                     "-c",
                                     DEEPSEEK_COMPILE_TIME_INCLUDE,
                                     DEEPSEEK_COMPILE_TIME_EIGEN,
                                     source.string(),
                                     "-o",
                                     object.string()};
    std::vector<char*> arguments;
    for (auto& word : command) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);

    auto const start = std::chrono::steady_clock::now();
    pid_t const child = fork();
    if (child < 0) {
        throw std::runtime_error("cannot start a process");
    }
    if (child == 0) {
        execvp(arguments[0], arguments.data());
        _exit(127);
    }
    int status = 0;
    rusage usage{};
    if (wait4(child, &status, 0, &usage) != child || status != 0) {
        throw std::runtime_error(compiler + " failed on " + source.string());
    }
    std::chrono::duration<double> const elapsed = std::chrono::steady_clock::now() - start;
    return {elapsed.count(), static_cast<double>(usage.ru_maxrss) / 1024, std::filesystem::file_size(object)};
}

struct Unit {
    char const* name;
    char const* what;
    double seconds;    // budget; of `large.cpp` a multiple of the seconds of `small.cpp`
    double megabytes;  // budget; 0 for none
};

constexpr std::array kUnits{
    Unit{"fwd.cpp", "`fwd.hpp` alone", 0.2, 0},
    Unit{"model.cpp", "`model.hpp` alone", 1, 0},
    Unit{"small.cpp", "train, save and generate with 6 blocks", 8, 600},
    Unit{"compiled.cpp", "the same with `deepseek::cpu_compiled`", 6, 600},
    Unit{"large.cpp", "the same with 61 blocks", 1.2, 0},
};

}  // namespace

int main(int argc, char** argv) try {
    std::string const compiler = argc > 1 ? argv[1] : DEEPSEEK_COMPILE_TIME_COMPILER;
    std::filesystem::path const folder = DEEPSEEK_COMPILE_TIME_SOURCES;
    auto const object =
        std::filesystem::temp_directory_path() / ("deepseek_compile_time_" + std::to_string(getpid()) + ".o");
    std::printf("%s -O2\n\n| unit | seconds | budget | compiler memory | budget | object |\n",
                compiler.c_str());
    std::printf("| --- | --: | --: | --: | --: | --: |\n");
    double small_seconds = 0;
    bool kept = true;
    for (auto const& unit : kUnits) {
        Cost best = compile(compiler, folder / unit.name, object);
        for (int again = 0; again < 2; ++again) {
            Cost const cost = compile(compiler, folder / unit.name, object);
            best.seconds = std::min(best.seconds, cost.seconds);
        }
        bool const relative = std::string(unit.name) == "large.cpp";
        small_seconds = std::string(unit.name) == "small.cpp" ? best.seconds : small_seconds;
        double const budget = relative ? unit.seconds * small_seconds : unit.seconds;
        kept = kept && best.seconds <= budget && (unit.megabytes == 0 || best.megabytes <= unit.megabytes);
        std::printf(
            "| %s | %.2f | %.2f | %.0f MB | %s | %.0f kB |\n", unit.what, best.seconds, budget,
            best.megabytes,
            unit.megabytes == 0 ? "–" : (std::to_string(static_cast<int>(unit.megabytes)) + " MB").c_str(),
            static_cast<double>(best.object_bytes) / 1000);
    }
    std::filesystem::remove(object);
    if (!kept) {
        std::fputs("a budget is exceeded\n", stderr);
    }
    return kept ? 0 : 1;
} catch (std::exception const& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
}
