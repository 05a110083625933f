// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_SHIFT_HPP
#define DEEPSEEK_OPS_SHIFT_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/reference/shift.hpp>

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
    call<ShiftTokens>(be, out, in, sequences, length, shift);
}

/// Where the document of every token begins in its sequence, from the documents' numbers, in place.
///
/// Shapes:    documents [sequences, length], not falling within a sequence
template <class B>
void find_document_starts(B& be, std::int32_t* documents, index_t sequences, index_t length) {
    if (sequences == 0 || length == 0) {
        return;
    }
    call<FindDocumentStarts>(be, documents, sequences, length);
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
    call<ShiftDocuments>(be, out, targets, starts, sequences, length, shift);
}

/// y = x without the last row of every sequence.
///
/// Shapes:    x [sequences * length, C]; y [sequences * (length - 1), C]
/// Errors:    ShapeError if there is no sequence or the row counts are not those
template <class B, class T, index_t C>
void drop_last(B& be, Rows<T, C> y, std::type_identity_t<Rows<T const, C>> x, index_t sequences) {
    expects<ShapeError>(sequences > 0, "drop_last: from ", sequences, " sequences");
    expects<ShapeError>(x.rows % sequences == 0 && y.rows == x.rows - sequences, "drop_last: ", y.rows,
                        " rows from ", x.rows, " in ", sequences, " sequences");
    if (y.rows == 0) {
        return;
    }
    call<DropLast>(be, y.strided(), x.strided(), sequences);
}

/// dx += dy on all but the last row of every sequence: the gradient of drop_last.
///
/// Shapes:    dx [sequences * length, C]; dy [sequences * (length - 1), C]
/// Errors:    ShapeError if there is no sequence or the row counts are not those of drop_last
template <class B, class T, index_t C>
void drop_last_backward(B& be, Rows<T, C> dx, std::type_identity_t<Rows<T const, C>> dy, index_t sequences) {
    expects<ShapeError>(sequences > 0, "drop_last_backward: into ", sequences, " sequences");
    expects<ShapeError>(dx.rows % sequences == 0 && dy.rows == dx.rows - sequences,
                        "drop_last_backward: ", dy.rows, " rows into ", dx.rows, " in ", sequences,
                        " sequences");
    if (dy.rows == 0) {
        return;
    }
    call<DropLastBackward>(be, dx.strided(), dy.strided(), sequences);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
