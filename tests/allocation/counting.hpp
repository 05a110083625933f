// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_ALLOCATION_COUNTING_HPP
#define DEEPSEEK_TESTS_ALLOCATION_COUNTING_HPP

#include <cstdint>

namespace deepseek_tests {

/// How often this program called operator new so far, in any form and on any thread. A Cpu takes its memory there too,
/// for arenas, for buffers and for the scratch memory of its threads.
std::int64_t allocations();

}  // namespace deepseek_tests

#endif
