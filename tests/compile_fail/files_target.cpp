// SPDX-License-Identifier: MIT
// expect: deepseek: tokenizers need PCRE2, so link deepseek::files (without CMake: -DDEEPSEEK_LINKS_PCRE2 -lpcre2-8)
#ifdef DEEPSEEK_POSITIVE_CONTROL
#define DEEPSEEK_LINKS_PCRE2
#endif
#include <deepseek/text/load.hpp>

auto const tokenizer = deepseek::text::load_tokenizer("model");
