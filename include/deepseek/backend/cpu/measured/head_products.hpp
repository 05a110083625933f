// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_HEAD_PRODUCTS_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_HEAD_PRODUCTS_HPP

#include <deepseek/backend/cpu/measured/attention_tile.hpp>
#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/latent_attention.hpp>

// Products of a few tokens with a weight of each head: bounded by reading the weights, not by arithmetic.

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

namespace detail {

// out[t] = in[t] · w for Tokens rows of `in`; w is [depth, cols].
template <int Tokens, class T, class W>
void rows_times_matrix(Strided<T> out, Strided<T const> in, Strided<W const> w) {
    constexpr int kVectors = Tokens == 1 ? 8 : 4;
    constexpr int kLane = kLanes<T>;
    using V = Simd<T, kLane>;
    index_t c = 0;
    auto const strip = [&]<int Vectors>() {
        V sums[Tokens][Vectors] = {};
        multiply_add<Along::sum>(sums, in.data, in.stride, w.data + c, w.stride, w.rows);
        for (int t = 0; t < Tokens; ++t) {
            for (int v = 0; v < Vectors; ++v) {
                store(out.row(t) + c + v * kLane, sums[t][v]);
            }
        }
        c += Vectors * kLane;
    };
    while (c + kVectors * kLane <= w.cols) {
        strip.template operator()<kVectors>();
    }
    while (c + kLane <= w.cols) {
        strip.template operator()<1>();
    }
    for (; c < w.cols; ++c) {
        for (int t = 0; t < Tokens; ++t) {
            T sum = 0;
            for (index_t p = 0; p < w.rows; ++p) {
                sum += in.row(t)[p] * convert<T>(w.row(p)[c]);
            }
            out.row(t)[c] = sum;
        }
    }
}

// out[t] = in[t] · wᵀ for Tokens rows of `in`; w is [cols of out, depth].
template <int Tokens, class T, class W>
void rows_times_transposed(Strided<T> out, Strided<T const> in, Strided<W const> w) {
    constexpr int kLane = kLanes<T>;
    using V = Simd<T, kLane>;
    index_t j = 0;
    auto const dots = [&]<int Rows>() {
        V sums[Tokens][Rows] = {};
        index_t p = 0;
        for (; p + kLane <= w.cols; p += kLane) {
            V right[Rows];
            for (int r = 0; r < Rows; ++r) {
                right[r] = load<T, kLane>(w.row(j + r) + p);
            }
            for (int t = 0; t < Tokens; ++t) {
                auto const left = load<T, kLane>(in.row(t) + p);
                for (int r = 0; r < Rows; ++r) {
                    sums[t][r] += left * right[r];
                }
            }
        }
        for (int t = 0; t < Tokens; ++t) {
            T totals[Rows];
            lane_sums(totals, sums[t]);
            for (int r = 0; r < Rows; ++r) {
                for (auto rest = p; rest < w.cols; ++rest) {
                    totals[r] += in.row(t)[rest] * convert<T>(w.row(j + r)[rest]);
                }
                out.row(t)[j + r] = totals[r];
            }
        }
        j += Rows;
    };
    while (j + 4 <= w.rows) {
        dots.template operator()<4>();
    }
    while (j < w.rows) {
        dots.template operator()<1>();
    }
}

// Calls product<Tokens>(out, in, w) for every head and block of tokens, heads spread over the pool: a head's weight is
// read from memory once, its repetitions for more tokens come from a cache.
template <class T, class W, class F>
void for_heads(Pool& pool, Strided<T> out, Strided<T const> in, Strided<W const> weight,
               HeadProducts const& products, index_t weight_rows, F const& product) {
    constexpr index_t kTokens = 4;
    pool.run(products.heads, [&](index_t head) {
        Strided<W const> const w{weight.row(head * products.weight_stride + products.weight_begin),
                                 weight_rows, weight.cols, weight.stride};
        index_t t = 0;
        auto const rows_of = [&](auto all, index_t width, index_t stride) {
            all.data = all.row(t) + head * stride;
            all.cols = width;
            return all;
        };
        while (t < products.tokens) {
            auto const to = rows_of(out, products.out, products.out_stride);
            auto const from = rows_of(in, products.in, products.in_stride);
            if (t + kTokens <= products.tokens) {
                product.template operator()<kTokens>(to, from, w);
                t += kTokens;
            } else {
                product.template operator()<1>(to, from, w);
                ++t;
            }
        }
    });
}

}  // namespace detail

/// See ops::absorb_query.
template <class T, class W>
void head_products_nn(Pool& pool, Strided<T> out, Strided<T const> in, Strided<W const> weight,
                      HeadProducts const& products) {
    detail::for_heads(pool, out, in, weight, products, products.in,
                      []<int Tokens>(Strided<T> to, Strided<T const> from, Strided<W const> w) {
                          detail::rows_times_matrix<Tokens>(to, from, w);
                      });
}

/// See ops::expand_values.
template <class T, class W>
void head_products_nt(Pool& pool, Strided<T> out, Strided<T const> in, Strided<W const> weight,
                      HeadProducts const& products) {
    detail::for_heads(pool, out, in, weight, products, products.out,
                      []<int Tokens>(Strided<T> to, Strided<T const> from, Strided<W const> w) {
                          detail::rows_times_transposed<Tokens>(to, from, w);
                      });
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
