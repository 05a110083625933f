// SPDX-License-Identifier: MIT
#include <deepseek/model.hpp>
