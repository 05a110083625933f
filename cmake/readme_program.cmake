# SPDX-License-Identifier: MIT
# The program in README.md compiles as shown and succeeds: the first C++ block after the line `<!-- program -->`.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/README.md")
file(READ "${PROJECT_SOURCE_DIR}/README.md" readme)
string(FIND "${readme}" "<!-- program -->" start)
string(SUBSTRING "${readme}" ${start} -1 readme)
string(FIND "${readme}" "```cpp\n" opening)
if(start EQUAL -1 OR opening EQUAL -1)
    message(FATAL_ERROR "README.md has no ```cpp block after a line <!-- program -->")
endif()
math(EXPR opening "${opening} + 7")
string(SUBSTRING "${readme}" ${opening} -1 readme)
string(FIND "${readme}" "\n```\n" closing)
string(SUBSTRING "${readme}" 0 ${closing} program)

file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/readme_program.cpp" CONTENT "@program@\n" @ONLY)
add_executable(test_readme_program "${CMAKE_CURRENT_BINARY_DIR}/readme_program.cpp")
target_link_libraries(test_readme_program PRIVATE deepseek::cpu deepseek::files deepseek_development)
# In a folder of its own: the program may save a model.
file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/readme_program")
add_test(NAME readme.program COMMAND test_readme_program
    WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/readme_program")
# Prints the sentence from its first letter to the newline, and nothing else.
set_tests_properties(readme.program PROPERTIES LABELS example TIMEOUT 300
    PASS_REGULAR_EXPRESSION "^The quick brown fox jumps over the lazy dog\\.\n$")

# The layer in README.md is a part of examples/06_custom_layer.cpp, word for word.
file(READ "${PROJECT_SOURCE_DIR}/README.md" readme)
file(READ "${PROJECT_SOURCE_DIR}/examples/06_custom_layer.cpp" example)
string(REGEX REPLACE ".*<!-- layer -->\n```cpp\n" "" layer "${readme}")
string(FIND "${layer}" "\n```\n" closing)
string(SUBSTRING "${layer}" 0 ${closing} layer)
string(FIND "${example}" "${layer}" position)
if(closing EQUAL -1 OR position EQUAL -1)
    message(FATAL_ERROR "The layer in README.md is not in examples/06_custom_layer.cpp as it stands there")
endif()
