// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_OPS_PLACED_HPP
#define DEEPSEEK_TESTS_OPS_PLACED_HPP

#include <deepseek/core/view.hpp>

#include "ops/table.hpp"
#include "support/placed.hpp"

namespace deepseek_tests {

/// A table in a backend's memory, guard bands included.
template <class T, index_t C, class B>
class PlacedTable {
public:
    PlacedTable(B& be, Table<T, C> const& table) : rows_(table.rows()), values_(be, table.values()) {}

    ds::Rows<T, C> view() { return Table<T, C>::view_of(values_.data(), rows_); }
    ds::Rows<T const, C> view() const { return Table<T, C>::view_of(values_.data(), rows_); }

    Table<T, C> back() const { return {rows_, values_.back()}; }

private:
    index_t rows_;
    PlacedVector<T, B> values_;
};

/// Constant tables are inputs: their views are, too, so that operations see what layers give them.
template <class T, index_t C, class B>
PlacedTable<T, C, B> const on(B& be, Table<T, C> const& table) {
    return {be, table};
}
template <class T, index_t C, class B>
PlacedTable<T, C, B> on(B& be, Table<T, C>&& table) {
    return {be, table};
}

}  // namespace deepseek_tests

#endif
