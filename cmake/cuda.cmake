# SPDX-License-Identifier: MIT
# The library's headers compile with nvcc as C++20, which is what a program with a CUDA backend does with them.
include(CheckLanguage)
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 90)
endif()
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "DEEPSEEK_CUDA=ON needs nvcc of the CUDA Toolkit, which was not found: put it in PATH, set "
        "CUDACXX to it, or set DEEPSEEK_CUDA=OFF.")
endif()
enable_language(CUDA)

# Without the Cpu backend: nvcc loses the dots of packs in calls of __builtin_shufflevector.
generate_includes(all_but_cpu ${deepseek_core_headers} ${deepseek_files_headers})
file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/headers/cuda.cu" CONTENT "@all_but_cpu@" @ONLY)
add_library(test_headers_cuda OBJECT "${CMAKE_CURRENT_BINARY_DIR}/headers/cuda.cu")
# Not cuda_std_20: CMake 3.25 does not know that nvcc has it.
target_compile_options(test_headers_cuda PRIVATE -std=c++20 --expt-relaxed-constexpr)
target_link_libraries(test_headers_cuda PRIVATE deepseek::cpu deepseek::files)
