// SPDX-License-Identifier: MIT
// expect: deepseek: programs need CLI11 and libedit, so link deepseek::app (without CMake: -DDEEPSEEK_LINKS_LIBEDIT -ledit)
#ifdef DEEPSEEK_POSITIVE_CONTROL
#define DEEPSEEK_LINKS_LIBEDIT
#endif
#include <deepseek/app/cli.hpp>
