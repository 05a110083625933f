// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_SUPPORT_SKIP_HPP
#define DEEPSEEK_TESTS_SUPPORT_SKIP_HPP

#include <string>
#include <vector>

namespace deepseek_tests {

/// What this run could not test, defined in tests/main.cpp. A run that passes otherwise counts as skipped, not as
/// passed.
std::vector<std::string>& skipped();

/// Call and return from the test case when something it needs is missing:
/// `if (!exists(file)) return skip("no corpus at ", file);`
inline void skip(std::string reason) { skipped().push_back(std::move(reason)); }

}  // namespace deepseek_tests

#endif
