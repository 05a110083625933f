# SPDX-License-Identifier: MIT
# Every header compiles alone (CMake generates one source per header), and a program whose two objects both include
# all of them links. The generated sources poison names that system headers define as macros somewhere (I of
# <complex.h>, B0 of <termios.h>, small of <windows.h>): a header of ours that uses one does not compile.
add_test(NAME headers.self_contained
    COMMAND ${CMAKE_COMMAND} --build "${PROJECT_BINARY_DIR}" --target all_verify_interface_header_sets --parallel 2)
# It builds in the tree that other tests run from.
set_tests_properties(headers.self_contained PROPERTIES LABELS headers TIMEOUT 1800 RUN_SERIAL ON)

# generate_includes(<variable> <header>...): source text that includes the headers, after all they include from
# elsewhere.
function(generate_includes variable)
    set(ours ${ARGN})
    list(TRANSFORM ours REPLACE "^.*/include/(deepseek/.*)$" "#include <\\1>")
    set(theirs "")
    foreach(header IN LISTS ARGN)
        file(STRINGS "${header}" lines REGEX "^# *include <[^>]+>")
        list(FILTER lines EXCLUDE REGEX "<deepseek[/:]")
        list(APPEND theirs ${lines})
    endforeach()
    list(REMOVE_DUPLICATES theirs)
    list(SORT theirs)
    # Libraries that are used where they are found.
    list(TRANSFORM theirs REPLACE "^# *include (<.+>)$" "#if __has_include(\\1)\n#include \\1\n#endif")
    list(JOIN theirs "\n" theirs)
    list(JOIN ours "\n" ours)
    string(CONFIGURE [[
// All headers of the library, after everything they include from elsewhere. Generated.
#define PCRE2_CODE_UNIT_WIDTH 8
@theirs@

#define I poisoned
#define B0 poisoned
#define small poisoned

@ours@
]] text @ONLY)
    set(${variable} "${text}" PARENT_SCOPE)
endfunction()
generate_includes(everything ${deepseek_headers})
# What the headers include is read above.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${deepseek_headers})

set(folder "${CMAKE_CURRENT_BINARY_DIR}/headers")
file(CONFIGURE OUTPUT "${folder}/first.cpp" CONTENT "@everything@" @ONLY)
file(CONFIGURE OUTPUT "${folder}/second.cpp" CONTENT "@everything@\nint main() {}\n" @ONLY)
add_executable(test_double_link "${folder}/first.cpp" "${folder}/second.cpp")
target_link_libraries(test_double_link PRIVATE deepseek::cpu deepseek::files deepseek::app deepseek_development)
# Objects with and without checks may meet in one program: DEEPSEEK_CHECKS is a part of the ABI tag.
if(NOT DEEPSEEK_CHECKS)
    set_source_files_properties("${folder}/first.cpp" PROPERTIES COMPILE_DEFINITIONS DEEPSEEK_CHECKS)
endif()
add_test(NAME headers.double_link COMMAND test_double_link)
set_tests_properties(headers.double_link PROPERTIES LABELS headers)

include("${CMAKE_CURRENT_LIST_DIR}/cuda.cmake")

# `cmake --build --preset lint`: one translation unit that has all headers is all that clang-tidy needs to see.
find_program(DEEPSEEK_CLANG_TIDY NAMES clang-tidy-19 clang-tidy-18 clang-tidy-17 clang-tidy-16)
mark_as_advanced(DEEPSEEK_CLANG_TIDY)
if(DEEPSEEK_CLANG_TIDY)
    add_custom_target(lint
        COMMAND "${DEEPSEEK_CLANG_TIDY}" --quiet -p "${PROJECT_BINARY_DIR}" "${folder}/second.cpp"
        WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
        COMMENT "clang-tidy over the headers"
        VERBATIM)
endif()
