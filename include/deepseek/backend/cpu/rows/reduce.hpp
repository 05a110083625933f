// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_REDUCE_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_REDUCE_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/segments.hpp>

#include <concepts>
#include <numeric>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

template <std::same_as<Cpu> B, class T>
void compute(ops::SumOfSquares, B& be, double* total, T const* set, Segments const& segments) {
    auto const scope = be.scratch().scope();
    auto* const partial = be.scratch().template take<double>(segments.blocks);
    be.for_each(segments.blocks, Segment::kBlock, [=](index_t number) {
        auto const block = segments.block(number);
        cpu::rows::Sum<double> sum;
        cpu::rows::sweep(
            block.size, 0.0, [&](auto const& v) { sum += v.square(); }, set + block.begin);
        partial[number] = sum.total();
    });
    *total += std::accumulate(partial, partial + segments.blocks, 0.0);  // in their order
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
