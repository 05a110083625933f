// SPDX-License-Identifier: MIT
// expect: Gpu::for_each: a body is a kernel's parameter, so it must not exceed 4096 bytes
#include <deepseek/backend/emulated.hpp>

namespace ds = deepseek;

#ifdef DEEPSEEK_POSITIVE_CONTROL
constexpr int kBytes = 4096;
#else
constexpr int kBytes = 4097;
#endif

struct Body {
    char bytes[kBytes];
    void operator()(ds::index_t) const {}
};

void run(ds::Emulated& be) { be.for_each(1, 1, Body{}); }
