// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_INSTRUCTION_SET_HPP
#define DEEPSEEK_APP_INSTRUCTION_SET_HPP

#include <deepseek/config.hpp>

#include <string>
#include <string_view>

// What a program was compiled for. A build without optimisation, or for any processor of a family, works and is several
// times slower: whoever waits should know why.

namespace deepseek::inline DEEPSEEK_ABI::app {

/// The vector instructions that this translation unit was compiled for.
constexpr std::string_view compiled_instructions() {
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
    return "AVX-512";
#elif defined(__AVX2__) && defined(__FMA__)
    return "AVX2 and FMA";
#elif defined(__AVX__)
    return "AVX";
#elif defined(__SSE2__)
    return "SSE2, what every x86-64 has";
#elif defined(__ARM_FEATURE_SVE)
    return "SVE";
#elif defined(__ARM_NEON)
    return "NEON";
#else
    return "no vector instructions";
#endif
}

/// The best ones of this processor that this translation unit was not compiled for; empty: it uses what there is.
inline std::string_view unused_instructions() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
#if !defined(__AVX512F__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return "AVX-512";
    }
#endif
#if !defined(__AVX2__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return "AVX2 and FMA";
    }
#endif
#endif
    return {};
}

/// Why the program is slower than it could be on this machine, and what helps; empty: it is not.
inline std::string slow_build() {
    std::string why;
#if (defined(__GNUC__) || defined(__clang__)) && !defined(__OPTIMIZE__)
    why = "compiled without optimisation: many times slower than -O3 (CMAKE_BUILD_TYPE=Release)";
#elif !defined(NDEBUG)
    why = "compiled without NDEBUG: slower than CMAKE_BUILD_TYPE=Release";
#endif
    if (auto const unused = unused_instructions(); !unused.empty()) {
        why += why.empty() ? "" : "; ";
        why += "compiled for ";
        why += compiled_instructions();
        why += ", this machine has ";
        why += unused;
        why += ": -march=native makes it faster";
    }
    return why;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
