// SPDX-License-Identifier: MIT
#ifndef CONSUMER_SECOND_HPP
#define CONSUMER_SECOND_HPP

#include <deepseek/core/index.hpp>

deepseek::index_t bytes_of(deepseek::index_t elements);

#endif
