// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_INDEX_HPP
#define DEEPSEEK_CORE_INDEX_HPP

#include <deepseek/config.hpp>
#include <deepseek/core/error.hpp>

#include <cstdint>
#include <limits>

namespace deepseek::inline DEEPSEEK_ABI {

/// Every extent, stride and count. 64 bits because one expert tensor of DeepSeek-V3 has 7.5e9 elements.
using index_t = std::int64_t;

/// A token id as layers see it. Files may store 16 or 32 bits.
using Token = std::int32_t;

/// Product of two non-negative counts, for sizing memory.
///
/// Errors:    Error if the product does not fit index_t or a factor is negative
constexpr index_t checked_mul(index_t a, index_t b) {
    expects(a >= 0 && b >= 0, "checked_mul: a count is negative");
    expects(b == 0 || a <= std::numeric_limits<index_t>::max() / b,
            "checked_mul: the product overflows 64 bits");
    return a * b;
}

/// How many pieces of `size` cover `count`. Both positive, or count 0.
constexpr DEEPSEEK_HD index_t ceil_div(index_t count, index_t size) { return (count + size - 1) / size; }

/// The smallest multiple that is not less than `count`.
constexpr DEEPSEEK_HD index_t round_up(index_t count, index_t multiple) {
    return ceil_div(count, multiple) * multiple;
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
