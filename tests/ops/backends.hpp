// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_OPS_BACKENDS_HPP
#define DEEPSEEK_TESTS_OPS_BACKENDS_HPP

#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/arena.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/view.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

// What the tests of the operations on rows share: backends, tables with guard bands, comparisons.

namespace deepseek_tests {

namespace ds = deepseek;
using ds::index_t;

/// The least an operation on rows needs of a backend, and as hostile as the contract allows: it calls loop bodies from
/// the last to the first, and fills scratch memory with NaN.
class Backwards {
public:
    std::byte* allocate(index_t bytes) {
        auto* const memory =
            static_cast<std::byte*>(::operator new (static_cast<std::size_t>(bytes), std::align_val_t{64}));
        std::memset(memory, 0xFF, static_cast<std::size_t>(bytes));
        return memory;
    }
    void deallocate(std::byte* memory, index_t) noexcept { ::operator delete (memory, std::align_val_t{64}); }
    ds::Arena<Backwards>& scratch() { return scratch_; }

    template <class F>
    void for_each(index_t count, index_t, F const& f) {
        for (auto i = count - 1; i >= 0; --i) {
            f(i);
        }
    }

private:
    ds::Arena<Backwards> scratch_{*this};
};

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

    ds::Rows<T, C> view() { return {values_.data() + kStride, rows_, kStride}; }
    ds::Rows<T const, C> view() const { return {values_.data() + kStride, rows_, kStride}; }
    T& operator()(index_t r, index_t c) { return view().row(r)[c]; }
    T const& operator()(index_t r, index_t c) const { return view().row(r)[c]; }
    index_t rows() const { return rows_; }

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

template <class T>
bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// Runs compute(backend), which returns a Table or vector, on every backend; checks that one and two threads give the
/// same bits, and passes each result to check.
template <class Compute, class Check>
void on_every_backend(Compute const& compute, Check const& check) {
    {
        INFO("loop bodies called from the last to the first");
        Backwards backend;
        check(compute(backend));
    }
    ds::Cpu one{{.threads = 1}};
    ds::Cpu two{{.threads = 2}};
    auto const expected = compute(one);
    {
        INFO("Cpu");
        check(expected);
    }
    CHECK(same_bits(compute(two), expected));
}

/// Largest difference, relative to the larger of 1 and the largest expected magnitude; NaN where only one is NaN.
inline double difference(std::vector<double> const& given, std::vector<double> const& expected) {
    REQUIRE(given.size() == expected.size());
    double largest = 1;
    for (auto const value : expected) {
        largest = std::isfinite(value) ? std::max(largest, std::abs(value)) : largest;
    }
    double worst = 0;
    for (std::size_t i = 0; i < given.size(); ++i) {
        bool const alike = given[i] == expected[i] || (std::isnan(given[i]) && std::isnan(expected[i]));
        auto const error = alike ? 0 : std::abs(given[i] - expected[i]) / largest;
        if (!(error <= worst)) {
            worst = error;
        }
    }
    return worst;
}

/// Rounding errors of `steps` operations in T that add up at worst: each is half a unit in the last of T's bits, of which
/// bf16 has 8.
template <class T>
double rounding(double steps) {
    if constexpr (std::is_same_v<T, ds::bf16>) {
        return steps * 0x1p-8;
    } else {
        return steps * static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
    }
}

/// a in the type that sums over elements like it are kept in.
template <class T>
ds::accumulate_t<T> wide(T a) {
    return ds::convert<ds::accumulate_t<T>>(a);
}

}  // namespace deepseek_tests

TYPE_TO_STRING_AS("float", float);
TYPE_TO_STRING_AS("double", double);
TYPE_TO_STRING_AS("bf16", deepseek::bf16);

#endif
