# SPDX-License-Identifier: MIT
# find_package(deepseek 0.1 [COMPONENTS cpu cuda files app]); the installed tree may be moved.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# Headers and CMake files fit every architecture, so they go to share/ rather than lib/.
set(deepseek_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/deepseek")

install(TARGETS deepseek deepseek_native EXPORT deepseek-targets FILE_SET HEADERS)
install(EXPORT deepseek-targets NAMESPACE deepseek:: DESTINATION "${deepseek_package_dir}")
foreach(component IN ITEMS cpu cuda files app)
    # One export per component, so that a user without its dependencies can still have the others.
    if(TARGET deepseek_${component})
        install(TARGETS deepseek_${component} EXPORT deepseek-${component}-targets FILE_SET HEADERS)
        if(component STREQUAL "cpu")
            target_sources(deepseek_cpu_compiled INTERFACE
                "$<INSTALL_INTERFACE:${CMAKE_INSTALL_DATADIR}/deepseek/cpu_compiled.cpp>")
            install(TARGETS deepseek_cpu_compiled EXPORT deepseek-cpu-targets)
            install(FILES src/cpu_compiled.cpp DESTINATION "${CMAKE_INSTALL_DATADIR}/deepseek")
        endif()
        install(EXPORT deepseek-${component}-targets NAMESPACE deepseek:: DESTINATION "${deepseek_package_dir}")
    endif()
endforeach()

configure_package_config_file(cmake/deepseekConfig.cmake.in "${PROJECT_BINARY_DIR}/cmake/deepseekConfig.cmake"
    INSTALL_DESTINATION "${deepseek_package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/cmake/deepseekConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
    "${PROJECT_BINARY_DIR}/cmake/deepseekConfig.cmake"
    "${PROJECT_BINARY_DIR}/cmake/deepseekConfigVersion.cmake"
    cmake/deepseek_add_model.cmake
    cmake/FindLibedit.cmake
    cmake/FindPCRE2.cmake
    DESTINATION "${deepseek_package_dir}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
