# SPDX-License-Identifier: MIT
# What a library must leave alone in the project that uses it.
set(settings
    BUILD_TESTING CMAKE_BUILD_TYPE CMAKE_CXX_COMPILER_LAUNCHER CMAKE_CXX_EXTENSIONS CMAKE_CXX_FLAGS
    CMAKE_CXX_FLAGS_DEBUG CMAKE_CXX_FLAGS_RELEASE CMAKE_CXX_STANDARD CMAKE_CXX_STANDARD_REQUIRED
    CMAKE_EXE_LINKER_FLAGS CMAKE_FIND_PACKAGE_TARGETS_GLOBAL CMAKE_MODULE_PATH CMAKE_POSITION_INDEPENDENT_CODE
    CMAKE_RUNTIME_OUTPUT_DIRECTORY CMAKE_VERIFY_INTERFACE_HEADER_SETS)
set(properties COMPILE_DEFINITIONS COMPILE_OPTIONS INCLUDE_DIRECTORIES LINK_LIBRARIES LINK_OPTIONS TESTS)

function(read_settings result)
    set(text "")
    foreach(name IN LISTS settings)
        string(APPEND text "${name}=[${${name}}]\n")
    endforeach()
    foreach(name IN LISTS properties)
        get_property(value DIRECTORY PROPERTY ${name})
        string(APPEND text "directory ${name}=[${value}]\n")
    endforeach()
    set(${result} "${text}" PARENT_SCOPE)
endfunction()

macro(remember_settings)
    read_settings(settings_before)
endmacro()

function(require_same_settings)
    read_settings(settings_after)
    if(NOT settings_after STREQUAL settings_before)
        message(FATAL_ERROR "The library changed its user's settings.\nBefore:\n${settings_before}"
            "After:\n${settings_after}")
    endif()
endfunction()

# No flag comes with a target, only include paths, libraries, the C++20 requirement and, as a definition, that PCRE2 is
# linked. Flags are deepseek::native's alone.
function(require_plain_targets)
    foreach(target IN ITEMS deepseek::deepseek deepseek::cpu deepseek::files)
        foreach(property IN ITEMS COMPILE_DEFINITIONS COMPILE_OPTIONS LINK_OPTIONS)
            get_property(value TARGET ${target} PROPERTY INTERFACE_${property})
            if(value AND NOT "${target} ${property} ${value}" STREQUAL
                    "deepseek::files COMPILE_DEFINITIONS DEEPSEEK_LINKS_PCRE2")
                message(FATAL_ERROR "${target} brings ${property} ${value}")
            endif()
        endforeach()
    endforeach()
    get_property(features TARGET deepseek::deepseek PROPERTY INTERFACE_COMPILE_FEATURES)
    if(NOT features STREQUAL "cxx_std_20")
        message(FATAL_ERROR "deepseek::deepseek requires [${features}], expected cxx_std_20")
    endif()
endfunction()

# A library inside another project has no tests, no programs and installs nothing.
function(require_only_libraries folder)
    get_property(targets DIRECTORY "${folder}" PROPERTY BUILDSYSTEM_TARGETS)
    if(NOT targets STREQUAL "deepseek;deepseek_native;deepseek_cpu;deepseek_cpu_compiled;deepseek_files")
        message(FATAL_ERROR "Targets in a user's build: ${targets}")
    endif()
    foreach(property IN ITEMS SUBDIRECTORIES TESTS)
        get_property(value DIRECTORY "${folder}" PROPERTY ${property})
        if(value)
            message(FATAL_ERROR "${property} in a user's build: ${value}")
        endif()
    endforeach()
endfunction()

# deepseek::native makes a program fast where no configuration is given, and leaves one that is debugged alone.
function(build_native)
    add_library(native OBJECT ../source/native.cpp)
    target_link_libraries(native PRIVATE deepseek::native)
    target_compile_definitions(native PRIVATE EXPECT_NATIVE=$<NOT:$<CONFIG:Debug>>)
endfunction()
