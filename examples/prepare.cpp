// SPDX-License-Identifier: MIT
#include <deepseek/app/prepare.hpp>

int main(int argc, char** argv) { return deepseek::app::prepare(argc, argv); }
