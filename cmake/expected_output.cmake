# SPDX-License-Identifier: MIT
# cmake -D PROGRAM=… -D EXPECTED=… -P expected_output.cmake: the program must succeed and print exactly the file.
execute_process(COMMAND "${PROGRAM}" OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE status)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "${PROGRAM} ended with status ${status}\n${output}${errors}")
endif()
file(READ "${EXPECTED}" expected)
if(NOT output STREQUAL expected)
    message(FATAL_ERROR "${PROGRAM} printed\n${output}but ${EXPECTED} has\n${expected}")
endif()
