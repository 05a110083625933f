# SPDX-License-Identifier: MIT
# Flags of our own programs, tests and benchmarks. The presets choose them; a user's targets never see them.
option(DEEPSEEK_NATIVE "Tune tests, examples and benchmarks for this machine (-march=native)" OFF)
option(DEEPSEEK_CHECKS "Check in inner loops (defines DEEPSEEK_CHECKS)" OFF)
option(DEEPSEEK_WARNINGS_AS_ERRORS "Compile with the project's warnings, as errors" OFF)
set(DEEPSEEK_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=: address,undefined or thread")

add_library(deepseek_development INTERFACE)
if(DEEPSEEK_WARNINGS_AS_ERRORS)
    # Per language: nvcc takes none of these.
    target_compile_options(deepseek_development INTERFACE
        $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Werror>)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
        # g++ 12 sees overlaps in its own std::string (bug 105329).
        target_compile_options(deepseek_development INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
    endif()
endif()
if(DEEPSEEK_NATIVE)
    target_compile_options(deepseek_development INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-march=native>)
endif()
if(DEEPSEEK_CHECKS)
    target_compile_definitions(deepseek_development INTERFACE DEEPSEEK_CHECKS)
endif()
if(DEEPSEEK_SANITIZE)
    target_compile_options(deepseek_development INTERFACE
        -fsanitize=${DEEPSEEK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    if(DEEPSEEK_SANITIZE MATCHES "undefined")
        # A null pointer that is used ends the program without this check as well, and the check doubles the time to
        # compile.
        target_compile_options(deepseek_development INTERFACE -fno-sanitize=null)
    endif()
    target_link_options(deepseek_development INTERFACE -fsanitize=${DEEPSEEK_SANITIZE})
endif()

# A second build of the same sources costs seconds instead of minutes.
find_program(DEEPSEEK_CCACHE ccache)
mark_as_advanced(DEEPSEEK_CCACHE)
if(DEEPSEEK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${DEEPSEEK_CCACHE}")
endif()
