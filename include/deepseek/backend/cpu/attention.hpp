// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ATTENTION_HPP
#define DEEPSEEK_BACKEND_CPU_ATTENTION_HPP

#include <deepseek/backend/cpu/eigen_attention.hpp>
#include <deepseek/backend/cpu/measured/attention.hpp>
#include <deepseek/backend/cpu/policy.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/attention.hpp>

#include <algorithm>
#include <concepts>
#include <type_traits>

// Attention on the pool of a Cpu.
//
// A value that is infinite or NaN may also reach queries nearby that do not see its key, as zero times it.

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu {

/// Rows of float or double that take the place of narrower ones while an operation runs. Memory is the arena's.
template <class B, class T>
Strided<accumulate_t<T>> wide_rows(B& be, Strided<T> rows) {
    using S = accumulate_t<T>;
    return {be.scratch().template take<S>(checked_mul(rows.rows, rows.cols)), rows.rows, rows.cols,
            rows.cols};
}
/// to = from, in to's type.
template <class B, class T, class U>
void convert_rows(B& be, Strided<T> to, Strided<U> from) {
    be.for_each(to.rows, to.cols, [=](index_t row) {
        std::transform(from.row(row), from.row(row) + from.cols, to.row(row),
                       [](auto value) { return convert<T>(value); });
    });
}
template <class B, class T>
Strided<accumulate_t<T> const> widened(B& be, Strided<T const> from) {
    auto const wide = wide_rows(be, from);
    convert_rows(be, wide, from);
    return wide;
}

// Calls f(shape, slice) for every document of all sequences: its extents, and what makes its rows of all rows. Each is
// computed as a sequence of its own, so none pays for keys it does not see.
template <class F>
void for_documents(AttentionShape const& shape, F const& f) {
    if (shape.first_key == nullptr) {
        f(shape, [](auto rows) { return rows; });
        return;
    }
    auto const length = shape.length_k;
    for (index_t sequence = 0; sequence < shape.sequences; ++sequence) {
        auto const* const first_key = shape.first_key + sequence * length;
        for (index_t begin = 0, end = 0; begin < length; begin = end) {
            while (end < length && first_key[end] == begin) {
                ++end;
            }
            expects(end > begin, "attention: query ", begin, " of sequence ", sequence,
                    " begins a document at ", first_key[begin]);
            f(shape.document(sequence, begin, end - begin), [=](auto rows) {
                rows.data = rows.row(sequence * length + begin);
                rows.rows = end - begin;
                return rows;
            });
        }
    }
}

}  // namespace cpu

template <std::same_as<Cpu> B, class T>
void compute(ops::Attention, B& be, Strided<T> out, Strided<accumulate_t<T>> lse, Strided<T const> q,
             Strided<T const> kv, Strided<T const> kr, AttentionShape const& shape) {
    if constexpr (!cpu::kPolicy.attention) {
        cpu::for_documents(shape, [&](AttentionShape const& document, auto const& of) {
            cpu::attention_by_eigen(be.pool(), of(out), of(lse), of(q), of(kv), of(kr), document);
        });
    } else if constexpr (std::is_floating_point_v<T>) {
        cpu::for_documents(shape, [&](AttentionShape const& document, auto const& of) {
            cpu::measured::attention(be.pool(), of(out), of(lse), of(q), of(kv), of(kr), document);
        });
    } else {  // the tiles are for float and double
        auto const scope = be.scratch().scope();
        auto const wide = cpu::wide_rows(be, out);
        compute(ops::Attention{}, be, wide, lse, cpu::widened(be, q), cpu::widened(be, kv),
                cpu::widened(be, kr), shape);
        cpu::convert_rows(be, out, wide);
    }
}

template <std::same_as<Cpu> B, class T>
void compute(ops::AttentionBackward, B& be, Strided<T> dq, Strided<T> dkv, Strided<T> dkr,
             Strided<T const> dout, Strided<T const> out, Strided<accumulate_t<T> const> lse,
             Strided<T const> q, Strided<T const> kv, Strided<T const> kr, AttentionShape const& shape) {
    if constexpr (!cpu::kPolicy.attention) {
        cpu::for_documents(shape, [&](AttentionShape const& document, auto const& of) {
            cpu::attention_backward_by_eigen(be.pool(), be.scratch(), of(dq), of(dkv), of(dkr), of(dout),
                                             of(out), of(lse), of(q), of(kv), of(kr), document);
        });
    } else if constexpr (std::is_floating_point_v<T>) {
        cpu::for_documents(shape, [&](AttentionShape const& document, auto const& of) {
            cpu::measured::attention_backward(be.pool(), be.scratch(), of(dq), of(dkv), of(dkr), of(dout),
                                              of(out), of(lse), of(q), of(kv), of(kr), document);
        });
    } else {
        auto const scope = be.scratch().scope();
        auto const wide_dq = cpu::wide_rows(be, dq);
        auto const wide_dkv = cpu::wide_rows(be, dkv);
        auto const wide_dkr = cpu::wide_rows(be, dkr);
        compute(ops::AttentionBackward{}, be, wide_dq, wide_dkv, wide_dkr, cpu::widened(be, dout),
                cpu::widened(be, out), lse, cpu::widened(be, q), cpu::widened(be, kv), cpu::widened(be, kr),
                shape);
        cpu::convert_rows(be, dq, wide_dq);
        cpu::convert_rows(be, dkv, wide_dkv);
        cpu::convert_rows(be, dkr, wide_dkr);
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
