// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GEMM_PEAK_HPP
#define DEEPSEEK_APP_GEMM_PEAK_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/matmul.hpp>

#include <algorithm>
#include <chrono>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// Floating-point operations per second of the backend's matrix product at a size that suits it, 768 x 768 x 768: the
/// best of some tries within `seconds`. What utilisation is measured against, because a processor's nominal peak says
/// little about what one process gets of a shared machine.
template <class T, class B>
double gemm_peak(B& be, double seconds = 0.3) {
    using Clock = std::chrono::steady_clock;
    constexpr index_t kSize = 768;
    Arena<B> arena(be);
    auto const x = arena.template rows<T, kSize>(kSize);
    auto const y = arena.template rows<T, kSize>(kSize);
    Matrix<T, kSize, kSize> const w{arena.template take<T>(kSize * kSize)};
    be.fill_zero(x.data, kSize * kSize * static_cast<index_t>(sizeof(T)));
    be.fill_zero(w.data, kSize * kSize * static_cast<index_t>(sizeof(T)));

    double best = 0;
    auto const start = Clock::now();
    auto now = start;
    do {
        auto const before = now;
        ops::matmul_nt(be, y, x, w);
        be.synchronize();
        now = Clock::now();
        best =
            std::max(best, 2.0 * kSize * kSize * kSize / std::chrono::duration<double>(now - before).count());
    } while (std::chrono::duration<double>(now - start).count() < seconds);
    return best;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
