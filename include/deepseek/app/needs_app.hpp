// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_NEEDS_APP_HPP
#define DEEPSEEK_APP_NEEDS_APP_HPP

// As text/needs_pcre2.hpp, for the libraries of whole programs.
#if !defined(DEEPSEEK_LINKS_LIBEDIT) || !__has_include(<CLI/CLI.hpp>) || !__has_include(<editline/readline.h>)
#include <deepseek: programs need CLI11 and libedit, so link deepseek::app (without CMake: -DDEEPSEEK_LINKS_LIBEDIT -ledit)>
#endif

#endif
