# SPDX-License-Identifier: MIT
# Programs that must not compile. Each tests/compile_fail/<name>.cpp has a line `// expect: <sentence>` and becomes
# the CTest `compile_fail.<name>`: compiling fails, the first error contains the sentence, g++ prints no second error,
# and with DEEPSEEK_POSITIVE_CONTROL, which swaps in a good value, the same file compiles. clang++ is asked as well
# where it is found; it may print more errors after the first. A second line `// names: <text>` is looked for in all that
# the compiler prints, notes included.
#
# Included by tests/CMakeLists.txt this file declares the tests; run with -P it is one of them.
if(NOT CMAKE_SCRIPT_MODE_FILE)
    set(compilers "${CMAKE_CXX_COMPILER}")
    if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
        find_program(DEEPSEEK_CLANGXX NAMES clang++-19 clang++-18 clang++-17 clang++-16)
        mark_as_advanced(DEEPSEEK_CLANGXX)
        if(DEEPSEEK_CLANGXX)
            list(APPEND compilers "${DEEPSEEK_CLANGXX}")
        endif()
    endif()

    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/compile_fail/*.cpp")
    foreach(source IN LISTS sources)
        cmake_path(GET source STEM name)
        add_test(NAME compile_fail.${name} COMMAND ${CMAKE_COMMAND}
            "-DSOURCE=${source}" "-DCOMPILERS=${compilers}"
            "-DEIGEN=$<TARGET_PROPERTY:Eigen3::Eigen,INTERFACE_INCLUDE_DIRECTORIES>" -P "${CMAKE_CURRENT_LIST_FILE}")
        set_tests_properties(compile_fail.${name} PROPERTIES LABELS compile_fail TIMEOUT 300)
    endforeach()
    return()
endif()

# Semicolons and brackets would cut or join the elements of CMake lists: they are blanks in sentence and output.
file(READ "${SOURCE}" source)
string(REGEX REPLACE "[][;]" " " source "${source}")
if(NOT source MATCHES "// expect: ([^\n]+)")
    message(FATAL_ERROR "${SOURCE} has no line `// expect: <sentence>`")
endif()
set(sentence "${CMAKE_MATCH_1}")
set(names "")
if(source MATCHES "// names: ([^\n]+)")
    set(names "${CMAKE_MATCH_1}")
endif()

# Compilers print an error as `file:line:column: error: text`; g++ and clang++ agree in that.
function(compile compiler result_variable errors_variable)
    # -S rather than -fsyntax-only: everything a user's compiler would instantiate is instantiated.
    execute_process(
        COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C
            "${compiler}" -std=c++20 -O0 -S -o /dev/null
            "-I${CMAKE_CURRENT_LIST_DIR}/../include" ${ARGN} "${SOURCE}"
        RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output TIMEOUT 120)
    string(REGEX REPLACE "[][;]" " " output "${output}")
    string(REGEX MATCHALL "(^|\n)[^\n]*(fatal )?error: [^\n]*" errors "${output}")
    set(${result_variable} "${status}" PARENT_SCOPE)
    set(${errors_variable} "${errors}" PARENT_SCOPE)
    set(output "${output}" PARENT_SCOPE)
endfunction()

# A file with `// without: Eigen` does not find it, as a program that has not linked deepseek::cpu.
list(TRANSFORM EIGEN PREPEND "-isystem" OUTPUT_VARIABLE eigen)
set(eigen_or_none ${eigen})
if(source MATCHES "// without: Eigen")
    set(eigen_or_none "")
endif()

foreach(compiler IN LISTS COMPILERS)
    compile("${compiler}" status errors ${eigen_or_none})
    if(status EQUAL 0)
        message(FATAL_ERROR "${compiler} accepts ${SOURCE}; expected: ${sentence}")
    endif()
    list(LENGTH errors count)
    if(count EQUAL 0)
        message(FATAL_ERROR "${compiler} failed without an error:\n${output}")
    endif()
    list(GET errors 0 first)
    string(FIND "${first}" "${sentence}" position)
    if(position EQUAL -1)
        message(FATAL_ERROR "The first error of ${compiler} is${first}\nexpected: ${sentence}\n${output}")
    endif()
    string(FIND "${output}" "${names}" position)
    if(position EQUAL -1)
        message(FATAL_ERROR "${compiler} does not name ${names}:\n${output}")
    endif()
    if(count GREATER 1 AND NOT compiler MATCHES "clang")
        message(FATAL_ERROR "${compiler} prints ${count} errors instead of one:\n${output}")
    endif()
    compile("${compiler}" status errors -DDEEPSEEK_POSITIVE_CONTROL ${eigen})
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "${compiler} refuses ${SOURCE} with DEEPSEEK_POSITIVE_CONTROL:\n${output}")
    endif()
endforeach()
