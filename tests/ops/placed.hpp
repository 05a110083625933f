// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_OPS_PLACED_HPP
#define DEEPSEEK_TESTS_OPS_PLACED_HPP

#include <deepseek/core/buffer.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>

#include "ops/table.hpp"

#include <cstddef>
#include <vector>

// Data of a test in the memory of the backend under test, which the host may not be able to touch: `on(be, x)` copies
// there, `.back()` from there.

namespace deepseek_tests {

/// A vector in a backend's memory.
template <class T, class B>
class PlacedVector {
public:
    PlacedVector(B& be, std::vector<T> const& values)
        : be_(&be), size_(values.size()), memory_(be, static_cast<index_t>(size_ * sizeof(T))) {
        be.copy_from_host(memory_.data(), values.data(), memory_.bytes());
    }
    T* data() { return reinterpret_cast<T*>(memory_.data()); }
    T const* data() const { return reinterpret_cast<T const*>(memory_.data()); }

    std::vector<T> back() const {
        std::vector<T> values(size_);
        be_->copy_to_host(values.data(), memory_.data(), memory_.bytes());
        return values;
    }

private:
    B* be_;
    std::size_t size_;
    ds::Buffer<B> memory_;
};

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

template <class T, class B>
PlacedVector<T, B> on(B& be, std::vector<T> const& values) {
    return {be, values};
}
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
