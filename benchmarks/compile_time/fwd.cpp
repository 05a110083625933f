// SPDX-License-Identifier: MIT
#include <deepseek/fwd.hpp>

int main() {}
