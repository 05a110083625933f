// SPDX-License-Identifier: MIT
// Writes a model directory as a file for other engines; `export --help` says how.
#include <deepseek/app/export.hpp>

int main(int argc, char** argv) { return deepseek::app::export_model(argc, argv); }
