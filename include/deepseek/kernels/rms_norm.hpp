// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_KERNELS_RMS_NORM_HPP
#define DEEPSEEK_KERNELS_RMS_NORM_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/kernels/block.hpp>

#include <cmath>

namespace deepseek::inline DEEPSEEK_ABI::kernels {

/// One warp is one row.
template <class T, class W>
struct RmsNorm {
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = 128;
    static constexpr int kRows = kThreads / kWarp;  ///< of a block
    struct Shared {};

    Strided<T> y;
    Strided<T const> x;
    W const* gain;
    Strided<Sum> inverse_rms;
    Sum epsilon;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const row = block.index() * kRows + block.thread() / kWarp;
        auto const lane = block.thread() % kWarp;
        if (row >= x.rows) {
            return;
        }
        auto const* const in = x.row(row);
        Sum squares = 0;
        for (index_t c = lane; c < x.cols; c += kWarp) {
            squares += convert<Sum>(in[c]) * convert<Sum>(in[c]);
        }
        auto const inverse = 1 / std::sqrt(warp_sum(block, squares) / static_cast<Sum>(x.cols) + epsilon);
        if (lane == 0) {
            inverse_rms.row(row)[0] = inverse;
        }
        for (index_t c = lane; c < x.cols; c += kWarp) {
            y.row(row)[c] = convert<T>(convert<Sum>(in[c]) * inverse * convert<Sum>(gain[c]));
        }
    }
};

/// The gradient of the gain over a strip of rows. One block is a strip and 32 columns.
template <class T>
struct RmsNormGain {
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = 256;
    static constexpr int kWarps = kThreads / kWarp;
    static constexpr index_t kStrip = 256;  ///< rows
    struct Shared {
        Sum sums[kWarps][kWarp];
    };

    Sum* partial;  ///< [strips, x.cols]
    Strided<T const> dy;
    Strided<T const> x;
    Strided<Sum const> inverse_rms;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const pieces = ceil_div(x.cols, kWarp);
        auto const strip = block.index() / pieces;
        auto const warp = block.thread() / kWarp;
        auto const lane = block.thread() % kWarp;
        auto const c = block.index() % pieces * kWarp + lane;
        auto const end = (strip + 1) * kStrip < x.rows ? (strip + 1) * kStrip : x.rows;
        Sum sum = 0;
        for (auto row = strip * kStrip + warp; c < x.cols && row < end; row += kWarps) {
            sum += convert<Sum>(dy.row(row)[c]) * convert<Sum>(x.row(row)[c]) * inverse_rms.row(row)[0];
        }
        auto& sums = block.shared().sums;
        sums[warp][lane] = sum;
        block.sync();
        if (warp == 0 && c < x.cols) {
            for (int other = 1; other < kWarps; ++other) {
                sum += sums[other][lane];
            }
            partial[strip * x.cols + c] = sum;
        }
    }
};

/// Adds the strips up. One thread is one column.
template <class Sum, class G>
struct AddStrips {
    static constexpr int kThreads = 128;
    struct Shared {};

    G* total;
    Sum const* partial;  ///< [strips, cols]
    index_t strips;
    index_t cols;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const c = block.index() * kThreads + block.thread();
        if (c < cols) {
            Sum sum = 0;
            for (index_t strip = 0; strip < strips; ++strip) {
                sum += partial[strip * cols + c];
            }
            total[c] = convert<G>(convert<Sum>(total[c]) + sum);
        }
    }
};

/// The gradient of the input. One warp is one row; dx may be dy.
template <class T, class W>
struct RmsNormInput {
    using Sum = accumulate_t<T>;
    static constexpr int kThreads = 128;
    static constexpr int kRows = kThreads / kWarp;  ///< of a block
    struct Shared {};

    Strided<T> dx;
    Strided<T const> dy;
    Strided<T const> x;
    W const* gain;
    Strided<Sum const> inverse_rms;
    bool add;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const row = block.index() * kRows + block.thread() / kWarp;
        auto const lane = block.thread() % kWarp;
        if (row >= x.rows) {
            return;
        }
        auto* const to = dx.row(row);
        auto const* const d = dy.row(row);
        auto const* const in = x.row(row);
        auto const inverse = inverse_rms.row(row)[0];
        Sum along = 0;
        for (index_t c = lane; c < x.cols; c += kWarp) {
            along += convert<Sum>(d[c]) * convert<Sum>(gain[c]) * convert<Sum>(in[c]) * inverse;
        }
        auto const mean = warp_sum(block, along) / static_cast<Sum>(x.cols);
        for (index_t c = lane; c < x.cols; c += kWarp) {
            auto const normed = convert<Sum>(in[c]) * inverse;
            auto const value = inverse * (convert<Sum>(d[c]) * convert<Sum>(gain[c]) - normed * mean);
            to[c] = convert<T>(add ? convert<Sum>(to[c]) + value : value);
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::kernels

#endif
