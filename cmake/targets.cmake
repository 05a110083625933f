# SPDX-License-Identifier: MIT
# The targets a user links:
#   deepseek::deepseek  models, layers, training, generation: a C++20 compiler and nothing else
#   deepseek::cpu       adds the Cpu backend: Eigen, threads
#   deepseek::cpu_compiled  the same, its operations compiled once for a program instead of in every file that trains
#   deepseek::cuda      adds the Cuda backend, for files that nvcc compiles: CUDA Toolkit 12 or newer
#   deepseek::files     adds tokenizers, token files, checkpoints: nlohmann_json, PCRE2
#   deepseek::native    the flags that make it fast on the machine that compiles: for programs, linked by their choice
#   deepseek::app       adds the programs for a model of one's own, like `train` and `generate`: CLI11, libedit
# All but native carry include paths, the C++20 requirement and libraries; no flags, and as definitions only that a library is
# linked, so that a program that forgot its target hears of it from the compiler and not from the linker.

file(GLOB_RECURSE deepseek_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/deepseek/*.hpp")
set(deepseek_cpu_headers ${deepseek_headers})
list(FILTER deepseek_cpu_headers INCLUDE REGEX "/include/deepseek/(backend/cpu[./]|eigen.hpp$)")
set(deepseek_files_headers ${deepseek_headers})
list(FILTER deepseek_files_headers INCLUDE REGEX "/include/deepseek/(data|format|text)/")
set(deepseek_core_headers ${deepseek_headers})
set(deepseek_app_headers ${deepseek_headers})
list(FILTER deepseek_app_headers INCLUDE REGEX "/include/deepseek/app/")
list(REMOVE_ITEM deepseek_core_headers
    ${deepseek_cpu_headers} ${deepseek_files_headers} ${deepseek_app_headers})

# deepseek_add_part(<name> <exported name> <header>...): an INTERFACE target with a header set.
function(deepseek_add_part name exported)
    add_library(${name} INTERFACE)
    add_library(deepseek::${exported} ALIAS ${name})
    set_target_properties(${name} PROPERTIES EXPORT_NAME ${exported})
    target_sources(${name} INTERFACE
        FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${ARGN})
    if(DEEPSEEK_BUILD_TESTS)
        set_target_properties(${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
    endif()
endfunction()

# deepseek_find(<package> <Debian package> <option> <find_package arguments>...): finds a dependency or says how
# to get it. GLOBAL, because a parent project links our targets from its own directory.
macro(deepseek_find package debian option)
    find_package(${package} ${ARGN} QUIET GLOBAL)
    if(NOT ${package}_FOUND)
        message(FATAL_ERROR "deepseek needs ${package} (Debian: ${debian}), which was not found. "
            "Install it, point ${package}_ROOT at it, or set ${option}=OFF to go without.")
    endif()
endmacro()

deepseek_add_part(deepseek deepseek ${deepseek_core_headers})
target_compile_features(deepseek INTERFACE cxx_std_20)

# In every configuration that is meant to be fast, and where none is given: a program compiled without optimisation is
# tens of times slower. Targets' options come behind CMAKE_CXX_FLAGS_<CONFIG>, so -O3 wins over RelWithDebInfo's -O2.
add_library(deepseek_native INTERFACE)
add_library(deepseek::native ALIAS deepseek_native)
set_target_properties(deepseek_native PROPERTIES EXPORT_NAME native)
target_compile_options(deepseek_native INTERFACE
    "$<$<AND:$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>,$<NOT:$<CONFIG:Debug,MinSizeRel>>>:-O3;-march=native>")

if(DEEPSEEK_CPU)
    deepseek_find(Threads libc6-dev DEEPSEEK_CPU)
    # No version asked for: Eigen 5 answers no to requests for 3.4. The headers check it.
    deepseek_find(Eigen3 libeigen3-dev DEEPSEEK_CPU)
    deepseek_add_part(deepseek_cpu cpu ${deepseek_cpu_headers})
    target_link_libraries(deepseek_cpu INTERFACE deepseek Threads::Threads Eigen3::Eigen)

    # A source file of the program that links it, so that it is compiled with the program's own flags: a library compiled
    # for another processor would not fit. Nothing but the program may link it, or the operations are there twice.
    add_library(deepseek_cpu_compiled INTERFACE)
    add_library(deepseek::cpu_compiled ALIAS deepseek_cpu_compiled)
    set_target_properties(deepseek_cpu_compiled PROPERTIES EXPORT_NAME cpu_compiled)
    target_link_libraries(deepseek_cpu_compiled INTERFACE deepseek_cpu)
    target_compile_definitions(deepseek_cpu_compiled INTERFACE DEEPSEEK_CPU_COMPILED)
    target_sources(deepseek_cpu_compiled INTERFACE
        "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src/cpu_compiled.cpp>")
endif()

if(DEEPSEEK_CUDA)
    deepseek_find(CUDAToolkit nvidia-cuda-toolkit DEEPSEEK_CUDA 12)
    file(GLOB_RECURSE deepseek_cuda_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/deepseek/*.cuh")
    deepseek_add_part(deepseek_cuda cuda ${deepseek_cuda_headers})
    set_target_properties(deepseek_cuda PROPERTIES VERIFY_INTERFACE_HEADER_SETS OFF)  # no C++ compiler knows them
    target_link_libraries(deepseek_cuda INTERFACE deepseek CUDA::cudart_static)
    # As an option, because CMake before 3.26 does not know that nvcc knows it.
    target_compile_options(deepseek_cuda INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>")
endif()

if(DEEPSEEK_FILES)
    deepseek_find(nlohmann_json nlohmann-json3-dev DEEPSEEK_FILES 3.11)
    deepseek_find(PCRE2 libpcre2-dev DEEPSEEK_FILES 10.32)
    deepseek_add_part(deepseek_files files ${deepseek_files_headers})
    target_link_libraries(deepseek_files INTERFACE deepseek nlohmann_json::nlohmann_json PCRE2::8BIT)
    target_compile_definitions(deepseek_files INTERFACE DEEPSEEK_LINKS_PCRE2)
endif()

if(DEEPSEEK_APP)
    if(NOT DEEPSEEK_CPU OR NOT DEEPSEEK_FILES)
        message(FATAL_ERROR "DEEPSEEK_APP=ON needs DEEPSEEK_CPU and DEEPSEEK_FILES.")
    endif()
    deepseek_find(CLI11 libcli11-dev DEEPSEEK_APP 2.1)
    deepseek_find(Libedit libedit-dev DEEPSEEK_APP)
    deepseek_add_part(deepseek_app app ${deepseek_app_headers})
    target_link_libraries(deepseek_app INTERFACE deepseek_cpu deepseek_files CLI11::CLI11 Libedit::Libedit)
    target_compile_definitions(deepseek_app INTERFACE DEEPSEEK_LINKS_LIBEDIT)
endif()
