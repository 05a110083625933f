// SPDX-License-Identifier: MIT
// One reader (tests/fuzz/readers.hpp) under libFuzzer, chosen by the environment variable READER. See tests/fuzz/run.sh.
#include "fuzz/readers.hpp"
#include "support/scratch_directory.hpp"

#include <cstdint>
#include <cstdio>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    static deepseek_tests::ScratchDirectory const scratch;
    static auto const* const reader = [] {
        char const* const name = std::getenv("READER");
        auto const* const found =
            std::find_if(deepseek_tests::kReaders.begin(), deepseek_tests::kReaders.end(),
                         [&](deepseek_tests::Reader const& r) {
                             return name != nullptr && std::string_view(r.name) == name;
                         });
        if (found == deepseek_tests::kReaders.end()) {
            std::fputs("READER names none of the readers\n", stderr);
            std::exit(2);
        }
        return found;
    }();
    try {
        reader->read({reinterpret_cast<char const*>(data), size}, scratch.path());
    } catch (deepseek::Error const&) {
    }
    return 0;
}
