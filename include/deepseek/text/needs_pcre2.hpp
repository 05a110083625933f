// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_NEEDS_PCRE2_HPP
#define DEEPSEEK_TEXT_NEEDS_PCRE2_HPP

// As format/needs_json.hpp. PCRE2's header is often there when the library is not linked: the target also defines a macro, so
// that a program without it hears of it from the compiler, by name, and not from the linker.
#if !defined(DEEPSEEK_LINKS_PCRE2) || !__has_include(<pcre2.h>)
#include <deepseek: tokenizers need PCRE2, so link deepseek::files (without CMake: -DDEEPSEEK_LINKS_PCRE2 -lpcre2-8)>
#endif

#endif
