// SPDX-License-Identifier: MIT
// expect: deepseek: the Cpu backend needs Eigen 3.4 or newer (Debian: libeigen3-dev), so link deepseek::cpu
// without: Eigen
#include <deepseek/backend/cpu.hpp>

deepseek::Cpu cpu;
