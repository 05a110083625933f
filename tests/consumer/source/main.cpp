// SPDX-License-Identifier: MIT
#include <deepseek/version.hpp>

#include "model.hpp"

#include <cstdio>
#include <filesystem>

int main(int, char** arguments) try {
    ds::Cpu cpu{{.threads = 2}};
    Weights weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    auto const directory = std::filesystem::path(arguments[0]).parent_path() / "model";
    std::printf("deepseek %d.%d.%d, %lld parameters\n", DEEPSEEK_VERSION_MAJOR, DEEPSEEK_VERSION_MINOR,
                DEEPSEEK_VERSION_PATCH, static_cast<long long>(ds::param_count<Tiny>));
    return survives_saving(cpu, weights, directory) ? 0 : 1;
} catch (ds::Error const& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
