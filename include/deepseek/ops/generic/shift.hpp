// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_SHIFT_HPP
#define DEEPSEEK_OPS_GENERIC_SHIFT_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

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

template <class T, index_t C>
struct DropLast {
    Rows<T, C> y;
    Rows<T const, C> x;
    index_t length;  // of a sequence of y

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const* const from = x.row(row + row / length);
        auto* const to = y.row(row);
        for (index_t c = 0; c < C; ++c) {
            to[c] = from[c];
        }
    }
};

template <class T, index_t C>
struct DropLastBackward {
    Rows<T, C> dx;
    Rows<T const, C> dy;
    index_t length;  // of a sequence of dy

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const* const from = dy.row(row);
        auto* const to = dx.row(row + row / length);
        for (index_t c = 0; c < C; ++c) {
            to[c] += from[c];
        }
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
