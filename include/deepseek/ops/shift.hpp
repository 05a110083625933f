// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_SHIFT_HPP
#define DEEPSEEK_OPS_SHIFT_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/generic/shift.hpp>

#include <cstdint>
#include <type_traits>

// What multi-token prediction does to sequences: the k-th depth is k rows shorter, sees tokens k further on and the
// hidden states of the depth before without their last row.

namespace deepseek::inline DEEPSEEK_ABI::ops {

/// out[s, i] = in[s, i + shift].
///
/// Shapes:    in [sequences, length]; out [sequences, length - shift]
/// Errors:    ShapeError unless 0 <= shift <= length
template <class B>
void shift_tokens(B& be, Token* out, Token const* in, index_t sequences, index_t length, index_t shift) {
    expects<ShapeError>(shift >= 0 && shift <= length, "shift_tokens: by ", shift, " in sequences of ",
                        length);
    if constexpr (requires { shift_tokens_impl(be, out, in, sequences, length, shift); }) {
        shift_tokens_impl(be, out, in, sequences, length, shift);
    } else {
        be.for_each(sequences, length, generic::ShiftTokens{out, in, length, shift});
    }
}

/// Where the document of every token begins in its sequence, from the documents' numbers, in place.
///
/// Shapes:    documents [sequences, length], not falling within a sequence
template <class B>
void find_document_starts(B& be, std::int32_t* documents, index_t sequences, index_t length) {
    if constexpr (requires { find_document_starts_impl(be, documents, sequences, length); }) {
        find_document_starts_impl(be, documents, sequences, length);
    } else {
        be.for_each(sequences, length, generic::FindDocumentStarts{documents, length});
    }
}

/// What documents are for rows that look `shift` tokens ahead: out[s, i] = starts[s, i]; a target whose row looks into
/// another document becomes -1.
///
/// Shapes:    starts [sequences, length]; out, targets [sequences, length - shift]
/// Errors:    ShapeError unless 0 <= shift <= length
template <class B>
void shift_documents(B& be, std::int32_t* out, Token* targets, std::int32_t const* starts, index_t sequences,
                     index_t length, index_t shift) {
    expects<ShapeError>(shift >= 0 && shift <= length, "shift_documents: by ", shift, " in sequences of ",
                        length);
    if constexpr (requires { shift_documents_impl(be, out, targets, starts, sequences, length, shift); }) {
        shift_documents_impl(be, out, targets, starts, sequences, length, shift);
    } else {
        be.for_each(sequences, length, generic::ShiftDocuments{out, targets, starts, length, shift});
    }
}

/// y = x without the last row of every sequence.
///
/// Shapes:    x [sequences * length, C]; y [sequences * (length - 1), C]
/// Errors:    ShapeError if the row counts are not those
template <class B, class T, class X, index_t C>
void drop_last(B& be, Rows<T, C> y, Rows<X, C> x, index_t sequences) {
    expects<ShapeError>(x.rows % sequences == 0 && y.rows == x.rows - sequences, "drop_last: ", y.rows,
                        " rows from ", x.rows, " in ", sequences, " sequences");
    if constexpr (requires { drop_last_impl(be, y, x, sequences); }) {
        drop_last_impl(be, y, x, sequences);
    } else {
        be.for_each(y.rows, C, generic::DropLast<T, C>{y, x, y.rows / sequences});
    }
}

/// dx += dy on all but the last row of every sequence: the gradient of drop_last.
///
/// Shapes:    dx [sequences * length, C]; dy [sequences * (length - 1), C]
/// Errors:    ShapeError if the row counts are not those of drop_last
template <class B, class T, class Y, index_t C>
void drop_last_backward(B& be, Rows<T, C> dx, Rows<Y, C> dy, index_t sequences) {
    expects<ShapeError>(dx.rows % sequences == 0 && dy.rows == dx.rows - sequences,
                        "drop_last_backward: ", dy.rows, " rows into ", dx.rows, " in ", sequences,
                        " sequences");
    if constexpr (requires { drop_last_backward_impl(be, dx, dy, sequences); }) {
        drop_last_backward_impl(be, dx, dy, sequences);
    } else {
        be.for_each(dy.rows, C, generic::DropLastBackward<T, C>{dx, dy, dy.rows / sequences});
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
