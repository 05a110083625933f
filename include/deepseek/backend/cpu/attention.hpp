// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ATTENTION_HPP
#define DEEPSEEK_BACKEND_CPU_ATTENTION_HPP

#include <deepseek/backend/cpu/eigen_attention.hpp>
#include <deepseek/backend/cpu/measured/attention.hpp>
#include <deepseek/backend/cpu/policy.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/attention_shape.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <concepts>
#include <type_traits>

// Attention on the pool of a Cpu.
//
// A value that is infinite or NaN may also reach queries nearby that do not see its key, as zero times it.

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu {

/// The tiles are for rows of float and double.
template <class T>
inline constexpr bool kAttendsByTiles = kPolicy.attention&& std::is_floating_point_v<T>;

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
    cpu::for_documents(shape, [&](AttentionShape const& document, auto const& of) {
        if constexpr (cpu::kAttendsByTiles<T>) {
            cpu::measured::attention(be.pool(), of(out), of(lse), of(q), of(kv), of(kr), document);
        } else {
            cpu::attention_by_eigen(be.pool(), of(out), of(lse), of(q), of(kv), of(kr), document);
        }
    });
}

template <std::same_as<Cpu> B, class T>
void compute(ops::AttentionBackward, B& be, Strided<T> dq, Strided<T> dkv, Strided<T> dkr,
             Strided<T const> dout, Strided<T const> out, Strided<accumulate_t<T> const> lse,
             Strided<T const> q, Strided<T const> kv, Strided<T const> kr, AttentionShape const& shape) {
    cpu::for_documents(shape, [&](AttentionShape const& document, auto const& of) {
        if constexpr (cpu::kAttendsByTiles<T>) {
            cpu::measured::attention_backward(be.pool(), be.scratch(), of(dq), of(dkv), of(dkr), of(dout),
                                              of(out), of(lse), of(q), of(kv), of(kr), document);
        } else {
            cpu::attention_backward_by_eigen(be.pool(), be.scratch(), of(dq), of(dkv), of(dkr), of(dout),
                                             of(out), of(lse), of(q), of(kv), of(kr), document);
        }
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
