// SPDX-License-Identifier: MIT
#include <deepseek/app/terminal.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace deepseek::app;

TEST_CASE("a line of progress loses its least important parts first, and never the most important") {
    std::vector<LinePart> const parts{
        {"step 1/3", 0}, {"loss 2.5", 0, " (main 2.0)", 2}, {"norm 1.0", 3}, {"", 9}, {"eta 3s", 1}};
    CHECK(joined_to_fit(parts, 100) == "step 1/3 | loss 2.5 (main 2.0) | norm 1.0 | eta 3s");
    CHECK(joined_to_fit(parts, 45) == "step 1/3 | loss 2.5 (main 2.0) | eta 3s");
    CHECK(joined_to_fit(parts, 30) == "step 1/3 | loss 2.5 | eta 3s");
    CHECK(joined_to_fit(parts, 20) == "step 1/3 | loss 2.5");
    CHECK(joined_to_fit(parts, 3) == "step 1/3 | loss 2.5");
}
