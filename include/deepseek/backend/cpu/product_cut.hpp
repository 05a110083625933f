// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_PRODUCT_CUT_HPP
#define DEEPSEEK_BACKEND_CPU_PRODUCT_CUT_HPP

#include <deepseek/backend/cpu/eigen_product.hpp>
#include <deepseek/backend/cpu/measured/amx.hpp>
#include <deepseek/backend/cpu/measured/bf16_dots.hpp>
#include <deepseek/backend/cpu/measured/few_rows.hpp>
#include <deepseek/backend/cpu/measured/packed_product.hpp>
#include <deepseek/backend/cpu/measured/pair_product.hpp>
#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/policy.hpp>
#include <deepseek/backend/cpu/product.hpp>
#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::cpu {

/// Whether a product of these types has a packing kernel of our own.
template <class T, class A, class B>
constexpr bool packs() {
    constexpr bool same = std::is_same_v<T, A> && std::is_same_v<T, B> && !std::is_same_v<T, bf16>;
    return same ? kPolicy.packed_products : kPolicy.narrow_products;
}

/// Whether the processor has instructions for pairs of their elements.
template <class T, class A, class B>
constexpr bool multiplies_pairs() {
    constexpr bool narrow = std::is_same_v<A, bf16> && std::is_same_v<B, bf16>;
    constexpr bool has_instructions = DEEPSEEK_CPU_AMX || DEEPSEEK_CPU_BF16_DOTS;
    return kPolicy.narrow_products && narrow && std::is_same_v<accumulate_t<T>, float> && has_instructions;
}

/// How the result of a product is cut into tiles, each of them a task. Every cut gives the same bits, because the sum
/// of one element does not depend on its tile: so the cut may follow the number of threads.
struct Cut {
    /// What makes the tiles: measured::multiply_few(), multiply_pairs(), or one of the two for large products.
    enum class By { few_rows, amx, bf16_dots, blocks } by = By::blocks;
    index_t rows = 0;  ///< of a tile; the last ones may be smaller
    index_t cols = 0;
    index_t down = 0;  ///< tiles
    index_t across = 0;

    index_t tiles() const { return down * across; }
};

namespace detail {

// Packing b is what costs, so a tile is as tall as the product where that leaves enough of them.
template <class Kernel>
Cut cut_pairs(Cut::By by, index_t rows, index_t cols, index_t depth, index_t parts) {
    auto const width = std::min(measured::pair_columns<Kernel>(depth),
                                round_up(ceil_div(cols, parts), index_t{Kernel::kCols}));
    auto const across = ceil_div(cols, width);
    auto const down = std::clamp<index_t>(parts / across, 1, ceil_div(rows, 128));
    auto const height = round_up(ceil_div(rows, down), index_t{Kernel::kRows});
    return {by, height, width, ceil_div(rows, height), across};
}

}  // namespace detail

/// Cuts a product into tiles that occupy `parts` threads. An empty result, or nothing to add, is no tile.
template <class T, class A, class B>
Cut cut(Product<T, A, B> const& product, index_t parts) {
    using S = accumulate_t<T>;
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
    if (kPolicy.few_rows && measured::has_few_rows(product)) {
        constexpr index_t kWeights = index_t{1} << 16;
        auto const unit = measured::few_cols_unit<S>(product.b.depth_contiguous);
        auto const width = round_up(ceil_div(cols, at_most(cols * depth / kWeights)), unit);
        return {Cut::By::few_rows, rows, width, 1, ceil_div(cols, width)};
    }
    if constexpr (multiplies_pairs<T, A, B>()) {
#if DEEPSEEK_CPU_AMX
        if (measured::has_amx()) {
            return detail::cut_pairs<measured::AmxKernel>(Cut::By::amx, rows, cols, depth, parts);
        }
#endif
#if DEEPSEEK_CPU_BF16_DOTS
        return detail::cut_pairs<measured::Bf16DotKernel>(Cut::By::bf16_dots, rows, cols, depth, parts);
#endif
    }
    // Packing costs a tile (rows + cols) · depth steps, multiplying rows · cols · depth. So tiles are large and nearly
    // square, and a second tile per thread is not worth splitting one of 512 x 384: that slows both halves by 2 %.
    constexpr index_t kMultiplyAdds = index_t{1} << 19;
    constexpr index_t kLargeTile = index_t{512} * 384;
    constexpr index_t kSmallSide = 64;
    constexpr bool kPacked = packs<T, A, B>();
    constexpr auto kRowUnit = kPacked ? index_t{measured::MicroTile<S>::kRows} : kEigenSide;
    constexpr auto kColUnit = kPacked ? index_t{measured::kLanes<S>} : kEigenSide;
    auto const wanted = at_most(rows * cols * depth / kMultiplyAdds);
    Cut result{Cut::By::blocks, rows, 0, 1, ceil_div(cols, measured::kTileCols<S>)};
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
    result.rows = round_up(result.rows, kRowUnit);
    result.cols = round_up(result.cols, kColUnit);
    return {Cut::By::blocks, result.rows, result.cols, ceil_div(rows, result.rows),
            ceil_div(cols, result.cols)};
}

namespace detail {

// A tile whose sums are kept where they are.
template <class S, class A, class B>
void multiply_in_place(Product<S, A, B> const& tile, Cut::By by, Workspace& workspace) {
    if constexpr (kPolicy.few_rows) {
        if (by == Cut::By::few_rows) {
            return measured::multiply_few(tile);
        }
    }
    if constexpr (packs<S, A, B>()) {
        measured::multiply_packed(tile, workspace);
    } else {
        multiply_by_eigen(tile, workspace);
    }
}

// A tile whose elements cannot hold the sums: they wait beside it and are rounded once, some rows at a time.
template <class T, class A, class B>
void multiply_rounding(Product<T, A, B> const& tile, Cut::By by, Workspace& workspace) {
    using S = accumulate_t<T>;
    constexpr auto kRows = kEigenSide;
    for (index_t begin = 0; begin < tile.c.rows; begin += kRows) {
        auto const part = tile.tile(begin, std::min(kRows, tile.c.rows - begin), 0, tile.c.cols);
        auto const& c = part.c;
        auto const scope = workspace.scope();
        Strided<S> const sums{workspace.take<S>(c.rows * c.cols), c.rows, c.cols, c.cols};
        if (part.add) {
            for (index_t i = 0; i < c.rows; ++i) {
                std::transform(c.row(i), c.row(i) + c.cols, sums.row(i), [](T x) { return convert<S>(x); });
            }
        }
        multiply_in_place(part.into(sums, part.add), by, workspace);
        for (index_t i = 0; i < c.rows; ++i) {
            std::transform(sums.row(i), sums.row(i) + c.cols, c.row(i), [](S x) { return convert<T>(x); });
        }
    }
}

template <class T, class A, class B>
void multiply_part(Product<T, A, B> const& part, Cut::By by, Workspace& workspace) {
    if constexpr (multiplies_pairs<T, A, B>()) {
#if DEEPSEEK_CPU_AMX
        if (by == Cut::By::amx) {
            return measured::multiply_pairs<measured::AmxKernel>(part, workspace);
        }
#endif
#if DEEPSEEK_CPU_BF16_DOTS
        if (by == Cut::By::bf16_dots) {
            return measured::multiply_pairs<measured::Bf16DotKernel>(part, workspace);
        }
#endif
    }
    if constexpr (std::is_same_v<T, accumulate_t<T>>) {
        multiply_in_place(part, by, workspace);
    } else {
        multiply_rounding(part, by, workspace);
    }
}

}  // namespace detail

/// Computes one tile of a product that was cut so.
template <class T, class A, class B>
void multiply_tile(Product<T, A, B> const& product, Cut const& cut, index_t tile, Workspace& workspace) {
    auto const row = tile % cut.down * cut.rows;
    auto const col = tile / cut.down * cut.cols;
    auto const rows = std::min(cut.rows, product.c.rows - row);
    auto const cols = std::min(cut.cols, product.c.cols - col);
    auto const part = product.tile(row, rows, col, cols);
    detail::multiply_part(part, cut.by, workspace);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#endif
