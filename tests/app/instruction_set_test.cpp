// SPDX-License-Identifier: MIT
#include <deepseek/app/instruction_set.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <string>

using namespace deepseek::app;
using deepseek_tests::mentions;

TEST_CASE("a build that is slower than it could be says so, and no other does") {
    auto const why = slow_build();
#if !defined(NDEBUG)
    CHECK(mentions(why, "NDEBUG"));
#endif
    // What this machine has and the build does not use; -march=native leaves nothing.
    CHECK((why.find("-march=native") != std::string::npos) == !unused_instructions().empty());
    if (!unused_instructions().empty()) {
        CHECK(mentions(why, std::string(compiled_instructions()), std::string(unused_instructions())));
    }
#if defined(NDEBUG) && defined(__AVX512F__)
    CHECK(why.empty());
#endif
    CHECK_FALSE(compiled_instructions().empty());
}
