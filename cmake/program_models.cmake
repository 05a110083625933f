# SPDX-License-Identifier: MIT
# -DDEEPSEEK_MODELS="a/config.json;b/config.json": models that the programs know besides those of examples/models.hpp. A
# model is called as the directory of its config.json, or as its file if that is called otherwise. Relative paths begin
# at the root of the sources.
#
# Defines added_models, a target with the header added_models.hpp, and the variables added_parts_train and
# added_parts_generate, lists of sources.
set(DEEPSEEK_MODELS "" CACHE STRING "config.json of further models for the programs, a list")

set(folder "${CMAKE_CURRENT_BINARY_DIR}/added_models")
set(includes "")
set(visits "")
add_library(added_models INTERFACE)
target_include_directories(added_models INTERFACE "${folder}")
set(added_parts_train "")
set(added_parts_generate "")
foreach(config IN LISTS DEEPSEEK_MODELS)
    cmake_path(ABSOLUTE_PATH config BASE_DIRECTORY "${PROJECT_SOURCE_DIR}" NORMALIZE)
    cmake_path(GET config STEM LAST_ONLY known)
    if(known STREQUAL "config")
        cmake_path(GET config PARENT_PATH directory)
        cmake_path(GET directory FILENAME known)
    endif()
    string(TOLOWER "${known}" known)
    string(REGEX REPLACE "[^a-z0-9]" "_" name "added_${known}")
    deepseek_add_model(${name} CONFIG "${config}")
    target_link_libraries(added_models INTERFACE deepseek::models::${name})
    string(APPEND includes "#include <deepseek/models/${name}.hpp>\n")
    string(APPEND visits "    visit(Known<deepseek::models::${name}>{{R\"(${known})\", R\"(${config})\", {}}});\n")
    # The parts of quickstart, for this type.
    foreach(program IN ITEMS train generate)
        set(part "${CMAKE_CURRENT_SOURCE_DIR}/${program}/quickstart.cpp")
        file(READ "${part}" source)
        string(REPLACE "deepseek_examples::Quickstart" "ds::models::${name}" source "${source}")
        string(REPLACE "../models.hpp" "added_models.hpp" source "${source}")
        file(CONFIGURE OUTPUT "${folder}/${program}_${name}.cpp" CONTENT "@source@" @ONLY)
        list(APPEND added_parts_${program} "${folder}/${program}_${name}.cpp")
    endforeach()
endforeach()
file(CONFIGURE OUTPUT "${folder}/added_models.hpp" CONTENT "// Written by program_models.cmake.
#ifndef DEEPSEEK_EXAMPLES_ADDED_MODELS_HPP
#define DEEPSEEK_EXAMPLES_ADDED_MODELS_HPP

@includes@
namespace deepseek_examples {

template <template <class> class Known, class F>
void for_each_added_model([[maybe_unused]] F&& visit) {
@visits@}

}  // namespace deepseek_examples

#endif
" @ONLY)
