// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_SHIFT_HPP
#define DEEPSEEK_OPS_REFERENCE_SHIFT_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// One call is one sequence.
struct ShiftTokens {
    Token* out;
    Token const* in;
    index_t length;
    index_t shift;

    DEEPSEEK_HD void operator()(index_t sequence) const {
        for (index_t i = 0; i < length - shift; ++i) {
            out[sequence * (length - shift) + i] = in[sequence * length + i + shift];
        }
    }
};

/// One call is one sequence.
struct FindDocumentStarts {
    std::int32_t* documents;
    index_t length;

    DEEPSEEK_HD void operator()(index_t sequence) const {
        auto* const row = documents + sequence * length;
        std::int32_t start = 0;
        auto number = row[0];
        for (index_t i = 0; i < length; ++i) {
            if (row[i] != number) {
                number = row[i];
                start = static_cast<std::int32_t>(i);
            }
            row[i] = start;
        }
    }
};

/// One call is one sequence.
struct ShiftDocuments {
    std::int32_t* out;
    Token* targets;
    std::int32_t const* starts;
    index_t length;
    index_t shift;

    DEEPSEEK_HD void operator()(index_t sequence) const {
        auto const* const in = starts + sequence * length;
        for (index_t i = 0; i < length - shift; ++i) {
            auto const to = sequence * (length - shift) + i;
            out[to] = in[i];
            if (in[i + shift] != in[i]) {
                targets[to] = -1;
            }
        }
    }
};

/// One call is one row of y.
template <class T>
struct DropLast {
    Strided<T> y;
    Strided<T const> x;
    index_t length;  // of a sequence of y

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const* const from = x.row(row + row / length);
        for (index_t c = 0; c < y.cols; ++c) {
            y.row(row)[c] = from[c];
        }
    }
};

/// One call is one row of dy.
template <class T>
struct DropLastBackward {
    using Sum = accumulate_t<T>;

    Strided<T> dx;
    Strided<T const> dy;
    index_t length;  // of a sequence of dy

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const to = dx.row(row + row / length);
        for (index_t c = 0; c < dx.cols; ++c) {
            to[c] = convert<T>(convert<Sum>(to[c]) + convert<Sum>(dy.row(row)[c]));
        }
    }
};

}  // namespace loop

template <class B>
void reference(ShiftTokens, B& be, Token* out, Token const* in, index_t sequences, index_t length,
               index_t shift) {
    be.for_each(sequences, length, loop::ShiftTokens{out, in, length, shift});
}

template <class B>
void reference(FindDocumentStarts, B& be, std::int32_t* documents, index_t sequences, index_t length) {
    be.for_each(sequences, length, loop::FindDocumentStarts{documents, length});
}

template <class B>
void reference(ShiftDocuments, B& be, std::int32_t* out, Token* targets, std::int32_t const* starts,
               index_t sequences, index_t length, index_t shift) {
    be.for_each(sequences, length, loop::ShiftDocuments{out, targets, starts, length, shift});
}

template <class B, class T>
void reference(DropLast, B& be, Strided<T> y, Strided<T const> x, index_t sequences) {
    be.for_each(y.rows, y.cols, loop::DropLast<T>{y, x, y.rows / sequences});
}

template <class B, class T>
void reference(DropLastBackward, B& be, Strided<T> dx, Strided<T const> dy, index_t sequences) {
    be.for_each(dy.rows, dy.cols, loop::DropLastBackward<T>{dx, dy, dy.rows / sequences});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
