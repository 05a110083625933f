// SPDX-License-Identifier: MIT
// The main function of every test program.
//
// Beyond doctest's own: a filter that selects no test case is a failure, and a run that passed but had to skip
// something (tests/support/skip.hpp) ends with status 77, which CTest reports as skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include "support/skip.hpp"
#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <vector>

namespace {

unsigned selected_cases = 0;

struct Counter : doctest::IReporter {
    explicit Counter(doctest::ContextOptions const&) {}
    void report_query(doctest::QueryData const&) override {}
    void test_run_start() override {}
    void test_run_end(doctest::TestRunStats const& stats) override {
        selected_cases = stats.numTestCasesPassingFilters;
    }
    void test_case_start(doctest::TestCaseData const&) override {}
    void test_case_reenter(doctest::TestCaseData const&) override {}
    void test_case_end(doctest::CurrentTestCaseStats const&) override {}
    void test_case_exception(doctest::TestCaseException const&) override {}
    void subcase_start(doctest::SubcaseSignature const&) override {}
    void subcase_end() override {}
    void log_assert(doctest::AssertData const&) override {}
    void log_message(doctest::MessageData const&) override {}
    void test_case_skipped(doctest::TestCaseData const&) override {}
};

}  // namespace

DOCTEST_REGISTER_LISTENER("counter", 1, Counter);

namespace deepseek_tests {

std::vector<std::string>& skipped() {
    static std::vector<std::string> reasons;
    return reasons;
}

}  // namespace deepseek_tests

int main(int argc, char** argv) {
    doctest::Context context(argc, argv);
    int const status = context.run();
    if (context.shouldExit() || status != 0) {
        return status;
    }
    if (selected_cases == 0) {
        std::fputs("no test case matches the filters\n", stderr);
        return 1;
    }
    for (auto const& reason : deepseek_tests::skipped()) {
        std::printf("skipped: %s\n", reason.c_str());
    }
    return deepseek_tests::skipped().empty() ? 0 : 77;
}
