// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_MEASURED_ATTENTION_HPP
#define DEEPSEEK_BACKEND_CPU_MEASURED_ATTENTION_HPP

#include <deepseek/backend/cpu/measured/attention_backward.hpp>
#include <deepseek/backend/cpu/measured/attention_forward.hpp>
#include <deepseek/backend/cpu/measured/attention_tile.hpp>
#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/attention.hpp>

#include <algorithm>

// Attention on the pool of a Cpu, for float and double.
//
// A value that is infinite or NaN may also reach queries nearby that do not see its key, as zero times it.

namespace deepseek::inline DEEPSEEK_ABI::cpu::measured {

/// See ops::attention.
template <class T>
void attention(Pool& pool, Strided<T> out, Strided<T> lse, Strided<T const> q, Strided<T const> kv,
               Strided<T const> kr, AttentionShape const& shape) {
    constexpr index_t kQueriesPerTask = 128;  // enough to make packing the keys cheap
    auto const heads = shape.sequences * shape.heads;
    auto const blocks = ceil_div(shape.length_q, kQueriesPerTask);
    pool.run(heads * blocks, [&](index_t task, int worker) {
        auto const begin = (blocks - 1 - task / heads) * kQueriesPerTask;  // with causal, the longest first
        auto const sequence = task % heads / shape.heads;
        auto const head = task % heads % shape.heads;
        auto const rows = detail::HeadInputs<T>{q, kv, kr, shape, sequence, head};
        detail::attend(detail::head_of(out, shape.value, shape.length_q, sequence, head),
                       detail::head_of(lse, 1, shape.length_q, sequence, head), rows, begin,
                       std::min(begin + kQueriesPerTask, shape.length_q), pool.workspace(worker));
    });
}

/// See ops::attention_backward. Takes temporary memory from `scratch`, an Arena.
template <class T, class Scratch>
void attention_backward(Pool& pool, Scratch& scratch, Strided<T> dq, Strided<T> dkv, Strided<T> dkr,
                        Strided<T const> dout, Strided<T const> out, Strided<T const> lse, Strided<T const> q,
                        Strided<T const> kv, Strided<T const> kr, AttentionShape const& shape) {
    auto const heads = shape.sequences * shape.heads;
    auto const scale = static_cast<T>(shape.scale);
    detail::BackwardCut const cut{heads, shape.length_k, detail::AttentionTile<T>::kKeys, pool.threads()};

    auto const scope = scratch.scope();
    // Every head's part of dkr, [keys, heads * rope], and where parts have tasks of their own every part of dq,
    // [parts * queries, heads * key_width].
    auto const rotary_width = shape.heads * shape.rope;
    Strided<T> const rotary{scratch.template take<T>(checked_mul(kr.rows, rotary_width)), kr.rows,
                            rotary_width, rotary_width};
    auto const partial_rows = cut.task_per_part ? cut.parts * q.rows : 0;
    Strided<T> const partial{scratch.template take<T>(checked_mul(partial_rows, q.cols)), partial_rows,
                             q.cols, q.cols};

    pool.run(heads * cut.tasks(), [&](index_t task, int worker) {
        auto const part = task % cut.tasks();
        auto const sequence = task / cut.tasks() / shape.heads;
        auto const head = task / cut.tasks() % shape.heads;
        auto const of = [&](auto rows, index_t width, index_t length) {
            return detail::head_of(rows, width, length, sequence, head);
        };
        auto const dq_rows =
            cut.task_per_part ? Strided<T>{partial.row(part * q.rows), q.rows, q.cols, partial.stride} : dq;
        detail::HeadOutputs<T> const to{of(dq_rows, shape.key_width(), shape.length_q),
                                        of(dkv, shape.nope + shape.value, shape.length_k),
                                        of(rotary, shape.rope, shape.length_k)};
        detail::HeadGradients<T> const gradients{of(dout, shape.value, shape.length_q),
                                                 of(out, shape.value, shape.length_q),
                                                 of(lse, 1, shape.length_q)};
        detail::HeadInputs<T> const rows{q, kv, kr, shape, sequence, head};
        detail::differentiate(to, rows, gradients, cut, part, cut.task_per_part ? T{1} : scale,
                              pool.workspace(worker));
    });

    constexpr index_t kRowsPerTask = 32;
    if (cut.task_per_part) {
        pool.run(ceil_div(q.rows, kRowsPerTask), [&](index_t task) {
            for (auto i = task * kRowsPerTask; i < std::min(q.rows, (task + 1) * kRowsPerTask); ++i) {
                detail::sum_rows<T>(dq.row(i), partial.row(i), q.rows * partial.stride, cut.parts, q.cols,
                                    scale);
            }
        });
    }
    pool.run(ceil_div(kr.rows, kRowsPerTask), [&](index_t task) {
        for (auto j = task * kRowsPerTask; j < std::min(kr.rows, (task + 1) * kRowsPerTask); ++j) {
            detail::sum_rows<T>(dkr.row(j), rotary.row(j), shape.rope, shape.heads, shape.rope, scale);
        }
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu::measured

#endif
