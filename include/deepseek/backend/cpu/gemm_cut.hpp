// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_GEMM_CUT_HPP
#define DEEPSEEK_BACKEND_CPU_GEMM_CUT_HPP

#include <deepseek/backend/cpu/gemm_few.hpp>
#include <deepseek/backend/cpu/gemm_operand.hpp>
#include <deepseek/backend/cpu/gemm_tile.hpp>
#include <deepseek/backend/cpu/simd.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

/// How the result of a product is cut into tiles, each of them a task. Every cut gives the same bits, because the sum
/// of one element does not depend on its tile: so the cut may follow the number of threads.
struct Cut {
    bool few = false;  ///< multiply_few() makes the tiles, otherwise multiply_packed()
    index_t rows = 0;  ///< of a tile; the last ones may be smaller
    index_t cols = 0;
    index_t down = 0;  ///< tiles
    index_t across = 0;

    index_t tiles() const { return down * across; }
};

/// Cuts a product into tiles that occupy `parts` threads. An empty result, or nothing to add, is no tile.
template <class T, class A, class B>
Cut cut(Product<T, A, B> const& product, index_t parts) {
    auto const rows = product.c.rows;
    auto const cols = product.c.cols;
    auto const depth = product.depth;
    if (rows <= 0 || cols <= 0 || (depth <= 0 && product.add)) {
        return {};
    }
    // Two tiles per thread, so that one that starts late or is interrupted does not hold up the others; but none so
    // small (10 µs) that handing it out (1 µs) shows.
    auto const at_most = [parts](index_t tiles) {
        return parts == 1 ? 1 : std::clamp<index_t>(tiles, 1, 2 * parts);
    };
    if (has_few_rows(product)) {
        constexpr index_t kWeights = index_t{1} << 16;
        auto const unit = few_cols_unit<T>(product.b.depth_contiguous);
        auto const width = round_up(ceil_div(cols, at_most(cols * depth / kWeights)), unit);
        return {true, rows, width, 1, ceil_div(cols, width)};
    }
    // Packing costs a tile (rows + cols) · depth steps, multiplying rows · cols · depth. So tiles are large and nearly
    // square, and a second tile per thread is not worth splitting one of 512 x 384: that slows both halves by 2 %.
    constexpr index_t kMultiplyAdds = index_t{1} << 19;
    constexpr index_t kLargeTile = index_t{512} * 384;
    constexpr index_t kSmallSide = 64;
    auto const wanted = at_most(rows * cols * depth / kMultiplyAdds);
    Cut result{false, rows, 0, 1, ceil_div(cols, kTileCols<T>)};
    for (;;) {
        result.rows = ceil_div(rows, result.down);
        result.cols = ceil_div(cols, result.across);
        bool const large = result.rows * result.cols > kLargeTile;
        if (result.tiles() >= (large ? wanted : std::min(wanted, parts)) ||
            std::max(result.rows, result.cols) <= kSmallSide) {
            break;
        }
        (result.rows >= result.cols ? result.down : result.across) *= 2;
    }
    result.rows = round_up(result.rows, MicroTile<T>::kRows);
    result.cols = round_up(result.cols, kLanes<T>);
    return {false, result.rows, result.cols, ceil_div(rows, result.rows), ceil_div(cols, result.cols)};
}

/// Computes one tile of a product that was cut so.
template <class T, class A, class B>
void multiply_tile(Product<T, A, B> const& product, Cut const& cut, index_t tile, Workspace& workspace) {
    auto const row = tile % cut.down * cut.rows;
    auto const col = tile / cut.down * cut.cols;
    auto const rows = std::min(cut.rows, product.c.rows - row);
    auto const cols = std::min(cut.cols, product.c.cols - col);
    if (cut.few) {
        multiply_few(product.tile(row, rows, col, cols));
    } else {
        multiply_packed(product.tile(row, rows, col, cols), workspace);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
