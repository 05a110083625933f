# SPDX-License-Identifier: MIT
# Projects that use the library in the three usual ways, as a stranger would: tests/consumer/<kind>/. Each checks that
# nothing of ours reached it, and builds two translation units into one program.
#
# Included by tests/CMakeLists.txt this file declares the tests; run with -P it is one of them.
if(NOT CMAKE_SCRIPT_MODE_FILE)
    foreach(kind IN ITEMS installed add_subdirectory fetch_content)
        add_test(NAME package.${kind} COMMAND ${CMAKE_COMMAND}
            -DKIND=${kind}
            "-DGENERATOR=${CMAKE_GENERATOR}"
            "-DCOMPILER=${CMAKE_CXX_COMPILER}"
            "-DLAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}"
            "-DBUILD=${PROJECT_BINARY_DIR}"
            "-DSCRATCH=${CMAKE_CURRENT_BINARY_DIR}/consumer/${kind}"
            -P "${CMAKE_CURRENT_LIST_FILE}")
        set_tests_properties(package.${kind} PROPERTIES LABELS package TIMEOUT 900)
    endforeach()
    return()
endif()

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH root)
file(REMOVE_RECURSE "${SCRATCH}")

if(KIND STREQUAL "installed")
    execute_process(COMMAND ${CMAKE_COMMAND} --install "${BUILD}" --prefix "${SCRATCH}/first"
        OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
    # An installation that remembers where it was first put is broken as soon as somebody packages it.
    file(RENAME "${SCRATCH}/first" "${SCRATCH}/moved")
    set(where "-DCMAKE_PREFIX_PATH=${SCRATCH}/moved")
else()
    set(where "-DDEEPSEEK_SOURCE=${root}")
endif()

function(build folder target)
    execute_process(COMMAND ${CMAKE_COMMAND} -S "${root}/tests/consumer/${KIND}" -B "${SCRATCH}/${folder}"
        -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "${where}"
        ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND ${CMAKE_COMMAND} --build "${SCRATCH}/${folder}" --target ${target}
        COMMAND_ERROR_IS_FATAL ANY)
endfunction()
build(debug native -DCMAKE_BUILD_TYPE=Debug)
build(build all)
foreach(program IN ITEMS consumer compiled)
    if(EXISTS "${SCRATCH}/build/${program}")
        execute_process(COMMAND "${SCRATCH}/build/${program}" COMMAND_ERROR_IS_FATAL ANY)
    endif()
endforeach()
