// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_OPS_TABLE_HPP
#define DEEPSEEK_TESTS_OPS_TABLE_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace deepseek_tests {

namespace ds = deepseek;
using ds::index_t;

/// Rows in memory of their own, further apart than they are wide, with guard bands around and between them.
template <class T, index_t C>
class Table {
public:
    static constexpr index_t kStride = C + 3;

    explicit Table(index_t rows)
        : rows_(rows), values_(static_cast<std::size_t>((rows + 2) * kStride), guard()) {}

    /// Normal numbers times `deviation`; different for every seed.
    static Table random(index_t rows, std::uint64_t seed, double deviation = 1) {
        Table table(rows);
        auto const key = ds::RandomKey{ds::Seed{seed}};
        for (index_t r = 0; r < rows; ++r) {
            for (index_t c = 0; c < C; ++c) {
                table(r, c) = ds::convert<T>(deviation * key.normal(static_cast<std::uint64_t>(r * C + c)));
            }
        }
        return table;
    }

    /// Of values that a table had, or their copy in another memory.
    Table(index_t rows, std::vector<T> values) : rows_(rows), values_(std::move(values)) {}
    template <class E>
    static ds::Rows<E, C> view_of(E* values, index_t rows) {
        return {values + kStride, rows, kStride};
    }

    ds::Rows<T, C> view() { return view_of(values_.data(), rows_); }
    ds::Rows<T const, C> view() const { return view_of(values_.data(), rows_); }
    T& operator()(index_t r, index_t c) { return view().row(r)[c]; }
    T const& operator()(index_t r, index_t c) const { return view().row(r)[c]; }
    index_t rows() const { return rows_; }
    /// All elements, guards included.
    std::vector<T> const& values() const { return values_; }

    /// The elements in double, row after row.
    std::vector<double> doubles() const {
        std::vector<double> all;
        for (index_t r = 0; r < rows_; ++r) {
            for (index_t c = 0; c < C; ++c) {
                all.push_back(ds::convert<double>((*this)(r, c)));
            }
        }
        return all;
    }

    bool guards_untouched() const {
        for (index_t i = 0; i < static_cast<index_t>(values_.size()); ++i) {
            bool const inside = i >= kStride && i < (rows_ + 1) * kStride && i % kStride < C;
            if (!inside && ds::convert<double>(values_[static_cast<std::size_t>(i)]) != kGuard) {
                return false;
            }
        }
        return true;
    }

    friend bool same_bits(Table const& a, Table const& b) {
        return std::memcmp(a.values_.data(), b.values_.data(), a.values_.size() * sizeof(T)) == 0;
    }

private:
    static constexpr double kGuard = -12'288;  // exact in every element type
    static T guard() { return ds::convert<T>(kGuard); }

    index_t rows_;
    std::vector<T> values_;
};

}  // namespace deepseek_tests

#endif
