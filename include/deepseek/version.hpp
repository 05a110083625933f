// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_VERSION_HPP
#define DEEPSEEK_VERSION_HPP

// The only place the version is written; CMake reads it from here.
#define DEEPSEEK_VERSION_MAJOR 0
#define DEEPSEEK_VERSION_MINOR 1
#define DEEPSEEK_VERSION_PATCH 0

#endif
