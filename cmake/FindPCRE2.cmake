# SPDX-License-Identifier: MIT
# Finds the 8-bit PCRE2 library and defines PCRE2::8BIT, the name PCRE2's own CMake package gives it. (Debian's
# development package has no CMake files.) Sets PCRE2_FOUND and PCRE2_VERSION.
find_path(PCRE2_INCLUDE_DIR NAMES pcre2.h)
find_library(PCRE2_8BIT_LIBRARY NAMES pcre2-8 pcre2-8-static)
mark_as_advanced(PCRE2_INCLUDE_DIR PCRE2_8BIT_LIBRARY)

if(PCRE2_INCLUDE_DIR)
    file(READ "${PCRE2_INCLUDE_DIR}/pcre2.h" pcre2_header LIMIT 4096)
    if(pcre2_header MATCHES "#define PCRE2_MAJOR +([0-9]+).*#define PCRE2_MINOR +([0-9]+)")
        set(PCRE2_VERSION "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
    endif()
    unset(pcre2_header)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PCRE2
    REQUIRED_VARS PCRE2_8BIT_LIBRARY PCRE2_INCLUDE_DIR VERSION_VAR PCRE2_VERSION)

if(PCRE2_FOUND AND NOT TARGET PCRE2::8BIT)
    add_library(PCRE2::8BIT UNKNOWN IMPORTED)
    set_target_properties(PCRE2::8BIT PROPERTIES
        IMPORTED_LOCATION "${PCRE2_8BIT_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${PCRE2_INCLUDE_DIR}")
endif()
