# SPDX-License-Identifier: MIT
# Where nvcc is found, as it comes and with every warning an error:
#   cuda.headers  all headers but those of the Cpu backend compile
#   cuda.kernels  tests/cuda/parity.cu, in which a model trains and generates on the Cuda backend in every element type,
#                 compiles for several generations of GPUs; no kernel keeps values in memory for want of registers, and none
#                 has a NaN for a constant, which is what nvcc makes of a call of a host function
#   cuda.programs the parts of train and generate for --device cuda compile, tests/cuda/programs.cu
#   cuda.package  find_package(deepseek COMPONENTS cpu cuda): a program of a .cpp and a .cu links and runs, tests/consumer/cuda
#   cuda.conformance  kernels on a GPU are the loops that define their operations, tests/kernels/on_cuda.cu
#   cuda.parity   and the program computes on a GPU what the emulated device computes
# Where it is not, and the last two where there is no GPU, they are skipped.
#
# Included by header_tests.cmake this file declares the tests; run with -P it is one of them.
if(NOT CMAKE_SCRIPT_MODE_FILE)
    find_program(DEEPSEEK_NVCC NAMES nvcc PATHS /usr/local/cuda/bin DOC "nvcc of CUDA Toolkit 12 or newer")
    mark_as_advanced(DEEPSEEK_NVCC)
    set(cuda_folder "${CMAKE_CURRENT_BINARY_DIR}/cuda")
    generate_includes(all_but_cpu ${deepseek_core_headers} ${deepseek_files_headers})
    file(CONFIGURE OUTPUT "${cuda_folder}/headers.cu" CONTENT "@all_but_cpu@" @ONLY)
    set(host "")
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        set(host "${CMAKE_CXX_COMPILER}")
    endif()
    foreach(kind IN ITEMS headers kernels programs package conformance parity)
        add_test(NAME cuda.${kind} COMMAND ${CMAKE_COMMAND}
            "-DKIND=${kind}" "-DNVCC=${DEEPSEEK_NVCC}" "-DCOMPILER=${CMAKE_CXX_COMPILER}" "-DGENERATOR=${CMAKE_GENERATOR}" "-DHOST=${host}"
            "-DFOLDER=${cuda_folder}" "-DINCLUDES=$<TARGET_PROPERTY:deepseek_files,INTERFACE_INCLUDE_DIRECTORIES>"
            -P "${CMAKE_CURRENT_LIST_FILE}")
        set_tests_properties(cuda.${kind} PROPERTIES
            LABELS cuda SKIP_REGULAR_EXPRESSION "(^|\n)skipped: " TIMEOUT 600)
    endforeach()
    set_tests_properties(cuda.kernels PROPERTIES FIXTURES_SETUP cuda_program)
    set_tests_properties(cuda.parity PROPERTIES FIXTURES_REQUIRED cuda_program)
    return()
endif()

if(NOT NVCC)
    message("skipped: no nvcc in PATH or /usr/local/cuda/bin")
    return()
endif()
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH root)
set(program "${FOLDER}/parity")

# run(<program>): ends with 77 where there is no GPU.
function(run program)
    execute_process(COMMAND "${program}" RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    message("${output}")
    if(NOT status EQUAL 0 AND NOT status EQUAL 77)
        message(FATAL_ERROR "${program} ended with ${status}")
    endif()
endfunction()

if(KIND STREQUAL "package")
    set(folder "${FOLDER}/package")
    file(REMOVE_RECURSE "${folder}")
    foreach(step IN ITEMS
            "-S;${root};-B;${folder}/library;-DDEEPSEEK_CUDA=ON;-DDEEPSEEK_FILES=OFF;-DDEEPSEEK_APP=OFF;-DDEEPSEEK_BUILD_TESTS=OFF;-DDEEPSEEK_BUILD_EXAMPLES=OFF"
            "--install;${folder}/library;--prefix;${folder}/installed"
            "-S;${root}/tests/consumer/cuda;-B;${folder}/build;-DCMAKE_PREFIX_PATH=${folder}/installed;-DCMAKE_CUDA_COMPILER=${NVCC}"
            "--build;${folder}/build")
        if(step MATCHES "^-S")
            list(APPEND step -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}")
        endif()
        execute_process(COMMAND ${CMAKE_COMMAND} ${step} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
    run("${folder}/build/consumer")
    return()
endif()

if(KIND STREQUAL "parity")
    run("${program}")
    return()
endif()

set(command "${NVCC}" -std=c++20 -Werror all-warnings "-I${root}/include")
if(HOST)
    list(APPEND command -ccbin "${HOST}")
endif()
list(REMOVE_DUPLICATES INCLUDES)
list(FILTER INCLUDES EXCLUDE REGEX "^/usr/include$|^${root}/include$")
foreach(folder IN LISTS INCLUDES)
    list(APPEND command -isystem "${folder}")
endforeach()
if(KIND STREQUAL "headers")
    list(APPEND command -DDEEPSEEK_LINKS_PCRE2 -c "${FOLDER}/headers.cu" -o "${FOLDER}/headers.o")
elseif(KIND STREQUAL "programs")
    list(APPEND command -arch=sm_90a -DDEEPSEEK_LINKS_PCRE2 -c "${root}/tests/cuda/programs.cu" -o "${FOLDER}/programs.o")
elseif(KIND STREQUAL "conformance")
    list(APPEND command -arch=sm_80 "-I${root}/tests" "${root}/tests/kernels/on_cuda.cu" -o "${FOLDER}/conformance")
else()
    file(MAKE_DIRECTORY "${FOLDER}/kept")
    # Newer GPUs than the last compile the PTX that comes with it.
    foreach(generation IN ITEMS 80 90a)
        list(APPEND command -gencode "arch=compute_${generation},code=sm_${generation}")
    endforeach()
    list(APPEND command -gencode "arch=compute_120,code=[compute_120,sm_120]" --threads 0 -Xptxas -v)
    list(APPEND command "${root}/tests/cuda/parity.cu" -o "${program}" --keep --keep-dir "${FOLDER}/kept")
endif()
execute_process(COMMAND ${command} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT status EQUAL 0)
    list(JOIN command " " command)
    message(FATAL_ERROR "${command}\nended with ${status}:\n${output}")
endif()

if(KIND STREQUAL "conformance")
    run("${FOLDER}/conformance")
endif()

if(KIND STREQUAL "kernels")
    if(output MATCHES " [1-9][0-9]* bytes spill")
        message(FATAL_ERROR "A kernel has too few registers:\n${output}")
    endif()
    file(GLOB ptx_file "${FOLDER}/kept/*compute_120*.ptx")
    file(READ "${ptx_file}" ptx)
    foreach(kernel IN ITEMS SwiGLU SwiGLUBackward Matmul GroupedMatmul GroupedGradient RmsNorm RmsNormInput CrossEntropy
            Attention AttentionQueryGradient AttentionKeyGradient AdamW BlockSquares AddSum)
        if(NOT ptx MATCHES "[.]entry [^(]*${kernel}I")
            message(FATAL_ERROR "${ptx_file} has no kernel of ${kernel}")
        endif()
    endforeach()
    # Exponents of ones and a mantissa that is not zero; with zero it is an infinity.
    string(REGEX MATCHALL "0f[7F]F[8-9A-F][0-9A-F]+|0d[7F]FF[0-9A-F]+" constants "${ptx}")
    list(REMOVE_DUPLICATES constants)
    list(FILTER constants EXCLUDE REGEX "^(0f[7F]F800000|0d[7F]FF0000000000000)$")
    if(constants)
        message(FATAL_ERROR "kernels have NaN for a constant: ${constants}")
    endif()
endif()
