// SPDX-License-Identifier: MIT
#include "second.hpp"

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

deepseek::index_t bytes_of(deepseek::index_t elements) {
    return deepseek::checked_mul(elements, static_cast<deepseek::index_t>(sizeof(deepseek::bf16)));
}
