// SPDX-License-Identifier: MIT
// expect: Linear<In, Out>: both must be positive
#include <deepseek/layers/linear.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
auto const out = ds::Linear<8, 4>::out;
#else
auto const out = ds::Linear<8, 0>::out;
#endif
