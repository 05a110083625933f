// SPDX-License-Identifier: MIT
// What deepseek::native compiles with. No machine of today's knows only the instructions of plain x86-64.
#if defined(__OPTIMIZE__)
#define OPTIMIZED 1
#else
#define OPTIMIZED 0
#endif
#if defined(__x86_64__) && !defined(__SSE3__)
#define TUNED 0
#elif defined(__x86_64__)
#define TUNED 1
#else
#define TUNED EXPECT_NATIVE
#endif
static_assert(OPTIMIZED == EXPECT_NATIVE);
static_assert(TUNED == EXPECT_NATIVE);
