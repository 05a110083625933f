// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_RMS_NORM_HPP
#define DEEPSEEK_OPS_GENERIC_RMS_NORM_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/lanes.hpp>

#include <cmath>

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

/// One call is one row.
template <class T, class W, index_t C>
struct RmsNorm {
    using Sum = accumulate_t<T>;

    Rows<T, C> y;
    Rows<T const, C> x;
    Matrix<W const, C> gain;
    Rows<Sum, 1> inverse_rms;
    Sum epsilon;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const to = y.row(row);
        auto const* const from = x.row(row);
        auto const* const g = gain.data;
        auto const inverse = 1 / std::sqrt(detail::squared_norm<Sum, C>(from) / Sum{C} + epsilon);
        inverse_rms.row(row)[0] = inverse;
        for (index_t c = 0; c < C; ++c) {
            to[c] = convert<T>((convert<Sum>(from[c]) * inverse) * convert<Sum>(g[c]));
        }
    }
};

/// One call is kBlock rows: it writes their dx and the sum of what they add to dgain. Blocks of fixed size keep that
/// sum independent of the number of threads and need one pass over dy and x.
template <class T, class W, index_t C>
struct RmsNormBackward {
    using Sum = accumulate_t<T>;
    static constexpr index_t kBlock = 32;

    Rows<T, C> dx;
    Rows<Sum, C> partial;  // [blocks, C]
    Rows<T const, C> dy;
    Rows<T const, C> x;
    Matrix<W const, C> gain;
    Rows<Sum const, 1> inverse_rms;
    bool add;

    DEEPSEEK_HD void operator()(index_t block) const {
        auto* const dgain = partial.row(block);
        for (index_t c = 0; c < C; ++c) {
            dgain[c] = 0;
        }
        auto const end = (block + 1) * kBlock < dx.rows ? (block + 1) * kBlock : dx.rows;
        for (auto row = block * kBlock; row < end; ++row) {
            if (add) {
                one_row<true>(row, dgain);
            } else {
                one_row<false>(row, dgain);
            }
        }
    }

private:
    // With n = x · inverse and u = dy · gain: dx = inverse · (u - n · mean(u · n)), dgain = dy · n.
    template <bool Adds>
    DEEPSEEK_HD void one_row(index_t row, Sum* dgain) const {
        auto* const to = dx.row(row);
        auto const* const d = dy.row(row);
        auto const* const in = x.row(row);
        auto const* const g = gain.data;
        auto const inverse = inverse_rms.row(row)[0];
        auto const along = detail::sum_of<Sum>(
            C, [=](index_t c) { return convert<Sum>(d[c]) * convert<Sum>(g[c]) * convert<Sum>(in[c]); });
        auto const mean = along * inverse / Sum{C};
        for (index_t c = 0; c < C; ++c) {
            auto const gradient = convert<Sum>(d[c]);
            auto const normed = convert<Sum>(in[c]) * inverse;
            auto const value = inverse * (gradient * convert<Sum>(g[c]) - normed * mean);
            dgain[c] += gradient * normed;
            to[c] = Adds ? convert<T>(convert<Sum>(to[c]) + value) : convert<T>(value);
        }
    }
};

/// One call is a strip of columns: adds the blocks in their order.
template <class G, class Sum, index_t C>
struct AddBlocks {
    static constexpr index_t kStrip = 64;

    Matrix<G, C> total;
    Rows<Sum const, C> partial;

    DEEPSEEK_HD void operator()(index_t strip) const {
        auto const begin = strip * kStrip;
        auto const end = begin + kStrip < C ? begin + kStrip : C;
        for (auto c = begin; c < end; ++c) {
            Sum sum = 0;
            for (index_t block = 0; block < partial.rows; ++block) {
                sum += partial.row(block)[c];
            }
            total.data[c] = convert<G>(convert<Sum>(total.data[c]) + sum);
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
