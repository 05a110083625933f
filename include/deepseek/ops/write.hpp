// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_WRITE_HPP
#define DEEPSEEK_OPS_WRITE_HPP

#include <deepseek/config.hpp>

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// Whether an operation replaces its output or adds to it.
enum class Write : bool { overwrite, add };

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
