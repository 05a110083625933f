// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_KERNELS_SET_HPP
#define DEEPSEEK_KERNELS_SET_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/kernels/block.hpp>

#include <cmath>

// Kernels over a whole set of tensors: one block of threads is one block of the set.

namespace deepseek::inline DEEPSEEK_ABI::kernels {

template <class T, class Constants>
struct AdamW {
    static constexpr int kThreads = 256;
    struct Shared {};

    T* weights;
    T const* gradients;
    T* first;
    T* second;
    Segments segments;
    Constants constants;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const c = constants;
        auto const own = segments.block(block.index());
        auto const keep = own.decays ? c.keep : T{1};
        for (auto i = own.begin + block.thread(); i < own.begin + own.size; i += kThreads) {
            auto const g = gradients[i] * c.gradient_scale;
            auto const m = c.beta1 * first[i] + c.rest1 * g;
            auto const v = c.beta2 * second[i] + c.rest2 * (g * g);
            first[i] = m;
            second[i] = v;
            weights[i] = weights[i] * keep - c.step * (m / (std::sqrt(v) * c.inverse_root2 + c.epsilon));
        }
    }
};

template <class T>
struct BlockSquares {
    static constexpr int kThreads = 256;
    using Shared = WarpValues<double, kThreads>;

    double* partial;  ///< [blocks]
    T const* set;
    Segments segments;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const own = segments.block(block.index());
        double sum = 0;
        for (index_t i = block.thread(); i < own.size; i += kThreads) {
            auto const value = convert<double>(set[own.begin + i]);
            sum += value * value;
        }
        sum = block_sum(block, block.shared(), sum);
        if (block.thread() == 0) {
            partial[block.index()] = sum;
        }
    }
};

template <class To, class From>
struct ConvertSet {
    static constexpr int kThreads = 256;
    struct Shared {};

    To* to;
    Segments to_segments;
    From const* from;
    Segments from_segments;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        auto const own = from_segments.block(block.index());
        auto* const out = to + to_segments.block(block.index()).begin;
        for (index_t i = block.thread(); i < own.size; i += kThreads) {
            out[i] = convert<To>(from[own.begin + i]);
        }
    }
};

/// Adds to the total the sum of the first elements of all rows, times a factor. One block in all.
template <class T>
struct AddSum {
    static constexpr int kThreads = 256;
    using Shared = WarpValues<double, kThreads>;

    double* total;
    Strided<T const> x;
    double factor;

    template <class Block>
    DEEPSEEK_HD void operator()(Block& block) const {
        double sum = 0;
        for (index_t i = block.thread(); i < x.rows; i += kThreads) {
            sum += convert<double>(*x.row(i));
        }
        sum = block_sum(block, block.shared(), sum);
        if (block.thread() == 0) {
            *total += factor * sum;
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::kernels

#endif
