// SPDX-License-Identifier: MIT
// expect: Gpu::for_each: a body is copied to the device byte by byte, so it must be trivially copyable
#include <deepseek/backend/emulated.hpp>

#include <vector>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Values = float*;
#else
using Values = std::vector<float>;
#endif

struct Body {
    Values values;
    void operator()(ds::index_t) const {}
};

void run(ds::Emulated& be) { be.for_each(1, 1, Body{}); }
