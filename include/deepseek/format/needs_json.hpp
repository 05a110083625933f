// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_NEEDS_JSON_HPP
#define DEEPSEEK_FORMAT_NEEDS_JSON_HPP

// Included before nlohmann's header: without its include path this is the only error. (A missing file ends compilation;
// after an #error, g++ goes on and prints hundreds more.)
#if !__has_include(<nlohmann/json.hpp>)
#include <deepseek: files need nlohmann_json, so link the CMake target deepseek::files>
#endif

#endif
