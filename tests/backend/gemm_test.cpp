// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu/gemm.hpp>

#include "reference/matmul.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace deepseek;
using reference::Guarded;
using reference::Numbers;

struct Shape {
    index_t m, n, k;
    bool transpose_a = false;
    bool transpose_b = false;
    bool add = false;
    index_t pad = 0;
};

std::string text(Shape const& s) {
    return message("m ", s.m, " n ", s.n, " k ", s.k, s.transpose_a ? " a transposed" : "",
                   s.transpose_b ? " b transposed" : "", s.add ? " adding" : "", " pad ", s.pad);
}

// A product with guard bands, run on a pool.
template <class T, class W, class A = T>
struct Case {
    explicit Case(Shape const& shape)
        : s(shape),
          a(s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, s.pad,
            convert<A>(std::numeric_limits<float>::quiet_NaN())),
          b(s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, s.pad,
            convert<W>(std::numeric_limits<float>::quiet_NaN())),
          before(s.m, s.n, s.pad, convert<T>(-77.0F)),
          c(s.m, s.n, s.pad, convert<T>(-77.0F)) {
        Numbers numbers(static_cast<std::uint64_t>(s.m * 1'000'003 + s.n * 1009 + s.k));
        a.fill(numbers);
        b.fill(numbers);
        if (s.add) {
            before.fill(numbers);
        } else {
            before.fill(convert<T>(std::numeric_limits<float>::quiet_NaN()));  // must not be read
        }
    }
    void run(cpu::Pool& pool) {
        c.elements = before.elements;
        c.view.data = c.elements.data() + c.pad;
        cpu::gemm(pool, c.view, a.read(), s.transpose_a, b.read(), s.transpose_b, s.add);
    }
    double error() const {
        return reference::worst_error<T>(c.read(), a.read(), s.transpose_a, b.read(), s.transpose_b, s.add,
                                         before.read());
    }

    Shape s;
    Guarded<A> a;
    Guarded<W> b;
    Guarded<T> before;
    Guarded<T> c;
};

// Every transposition, overwriting and adding; dense and strided in turn.
template <class T, class W, class A = T>
void check(cpu::Pool& pool, Shape shape) {
    for (int variant = 0; variant < 8; ++variant) {
        shape.transpose_a = (variant & 1) != 0;
        shape.transpose_b = (variant & 2) != 0;
        shape.add = (variant & 4) != 0;
        shape.pad = (variant + shape.m + shape.n + shape.k) % 2 == 0 ? 0 : 5;
        CAPTURE(text(shape));
        Case<T, W, A> test(shape);
        test.run(pool);
        CHECK(test.error() <= 1.0);
        CHECK(test.c.guards_untouched());
    }
}

template <class T, class W, class A = T>
void check_sizes() {
    cpu::Pool pool(2);
    Numbers other(5);
    auto const random = [&] {
        return 1 + static_cast<index_t>(std::abs(other.next<float>()) * 34);
    };                                            // 9 … 69
    for (index_t size = 1; size <= 70; ++size) {  // every size in every place
        check<T, W, A>(pool, {size, random(), random()});
        check<T, W, A>(pool, {random(), size, random()});
        check<T, W, A>(pool, {random(), random(), size});
    }
}

TEST_CASE("gemm: single precision agrees with the definition at every size up to 70") {
    check_sizes<float, float>();
}
TEST_CASE("gemm: double precision agrees with the definition at every size up to 70") {
    check_sizes<double, double>();
}
TEST_CASE("gemm: bf16 weights agree with the definition at every size up to 70") {
    check_sizes<float, bf16>();
}
TEST_CASE("gemm: factors of bf16 agree with the definition at every size up to 70") {
    check_sizes<float, bf16, bf16>();
}
TEST_CASE("gemm: a result of bf16 is rounded once, at every size up to 70") { check_sizes<bf16, bf16>(); }

TEST_CASE("gemm: several blocks of depth, several tiles, and their edges") {
    cpu::Pool pool(3);
    for (Shape const shape :
         {Shape{9, 50, 257}, Shape{70, 49, 1030}, Shape{20, 800, 40}, Shape{500, 33, 90},
          Shape{130, 260, 300}, Shape{1, 500, 700}, Shape{16, 301, 515}, Shape{3, 1500, 64}}) {
        check<float, float>(pool, shape);
        check<float, bf16>(pool, shape);
        check<float, bf16, bf16>(pool, shape);
        check<bf16, bf16>(pool, shape);
    }
    check<double, double>(pool, {70, 49, 1030});
    check<double, double>(pool, {200, 400, 150});
}

template <class T, class W, class A = T>
void check_threads(Shape const& shape) {
    CAPTURE(text(shape));
    cpu::Pool one(1);
    Case<T, W, A> expected(shape);
    expected.run(one);
    for (int const threads : {2, 3, 5}) {
        cpu::Pool pool(threads);
        Case<T, W, A> test(shape);
        test.run(pool);
        CAPTURE(threads);
        CHECK(std::memcmp(test.c.elements.data(), expected.c.elements.data(),
                          expected.c.elements.size() * sizeof(T)) == 0);
    }
}

TEST_CASE("gemm: the same bits for any number of threads") {
    for (bool const transpose_a : {false, true}) {
        for (bool const transpose_b : {false, true}) {
            check_threads<float, float>({517, 301, 333, transpose_a, transpose_b, true});
            check_threads<float, float>({1030, 100, 90, transpose_a, transpose_b, false, 3});
            check_threads<float, float>({100, 1030, 90, transpose_a, transpose_b, false});
            check_threads<float, bf16>({133, 257, 700, transpose_a, transpose_b, false});
            check_threads<float, bf16, bf16>({133, 257, 700, transpose_a, transpose_b, true});
            check_threads<bf16, bf16>({517, 301, 333, transpose_a, transpose_b, true});
            check_threads<double, double>({150, 301, 333, transpose_a, transpose_b, true});
            for (index_t const few : {1, 2, 3, 7, 16, 17}) {
                check_threads<float, float>({few, 2005, 515, transpose_a, transpose_b, false});
                check_threads<float, bf16>({few, 2005, 515, transpose_a, transpose_b, true});
            }
        }
    }
}

TEST_CASE("gemm: a product of depth zero is zero, or nothing to add") {
    cpu::Pool pool(2);
    for (index_t const rows : {1, 20, 40}) {
        for (bool const transpose_b : {false, true}) {
            Case<float, float> zero({rows, 30, 0, false, transpose_b, false, 2});
            zero.run(pool);
            CHECK(zero.error() == 0.0);
            CHECK(zero.c.guards_untouched());
            Case<float, float> same({rows, 30, 0, false, transpose_b, true, 2});
            same.run(pool);
            CHECK(same.c.elements == same.before.elements);
        }
    }
}

TEST_CASE("gemm: an empty result is left alone") {
    cpu::Pool pool(2);
    Case<float, float>({0, 30, 7}).run(pool);
    Case<float, float>({30, 0, 7}).run(pool);
}

// Zeros that fill up panels must not meet an infinity, nor products with zero be left out.
TEST_CASE("gemm: infinities and NaNs arrive where the definition puts them, and nowhere else") {
    cpu::Pool pool(2);
    constexpr auto kInfinity = std::numeric_limits<float>::infinity();
    for (index_t const rows : {1, 5, 16, 21, 50}) {
        for (bool const transpose_b : {false, true}) {
            CAPTURE(rows);
            CAPTURE(transpose_b);
            Case<float, float> test({rows, 53, 19, false, transpose_b, false, 4});
            auto const at_b = [&](index_t p, index_t j) -> float& {
                return transpose_b ? test.b.view.row(j)[p] : test.b.view.row(p)[j];
            };
            test.a.view.row(rows - 1)[18] = kInfinity;  // its whole row becomes infinite …
            at_b(18, 52) = 0.0F;                        // … but infinity times zero is none
            at_b(3, 7) = std::numeric_limits<float>::quiet_NaN();
            test.run(pool);
            for (index_t i = 0; i < rows; ++i) {
                for (index_t j = 0; j < 53; ++j) {
                    auto const value = test.c.view.row(i)[j];
                    bool const last = i == rows - 1;
                    if (j == 7 || (last && j == 52)) {
                        CHECK(std::isnan(value));
                    } else if (last) {
                        CHECK(std::isinf(value));
                    } else {
                        CHECK(std::isfinite(value));
                    }
                }
            }
            CHECK(test.c.guards_untouched());
        }
    }
}

TEST_CASE("gemm: a product inside a task of the same pool gives the same bits") {
    cpu::Pool pool(2);
    Case<float, float> expected({130, 140, 150, false, true, false});
    expected.run(pool);
    Case<float, float> first({130, 140, 150, false, true, false});
    Case<float, float> second({130, 140, 150, false, true, false});
    pool.run(2, [&](index_t task) { (task == 0 ? first : second).run(pool); });
    CHECK(first.c.elements == expected.c.elements);
    CHECK(second.c.elements == expected.c.elements);
}

TEST_CASE_TEMPLATE("gemm: the same bits at any address", T, float, double) {
    cpu::Pool pool(1);
    for (Shape const shape : {Shape{2, 3, 4}, Shape{3, 5, 9}, Shape{19, 33, 65}, Shape{140, 150, 300}}) {
        auto const n = static_cast<std::size_t>(shape.n);
        auto const size_of = [](index_t rows, index_t cols) { return static_cast<std::size_t>(rows * cols); };
        std::vector<T> expected;
        for (std::size_t const shift : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
            Numbers numbers(7);
            std::vector<T> a(size_of(shape.m, shape.k) + shift);
            std::vector<T> b(size_of(shape.n, shape.k) + 2 * shift);
            std::vector<T> c(size_of(shape.m, shape.n) + shift);
            std::generate(a.begin() + static_cast<index_t>(shift), a.end(),
                          [&] { return numbers.next<T>() / T{3}; });
            std::generate(b.begin() + static_cast<index_t>(2 * shift), b.end(),
                          [&] { return numbers.next<T>() / T{3}; });
            cpu::gemm(pool, Strided<T>{c.data() + shift, shape.m, shape.n, static_cast<index_t>(n)},
                      Strided<T const>{a.data() + shift, shape.m, shape.k, shape.k}, false,
                      Strided<T const>{b.data() + 2 * shift, shape.n, shape.k, shape.k}, true, false);
            c.erase(c.begin(), c.begin() + static_cast<index_t>(shift));
            if (shift == 0) {
                expected = c;
            }
            CHECK(c == expected);
        }
    }
}

TEST_CASE("gemm: a product that ran once allocates no more scratch memory") {
    cpu::Pool pool(1);
    Case<float, float> test({300, 500, 600, false, true, false});
    test.run(pool);
    auto const held = pool.workspace(0).capacity();
    for (int i = 0; i < 5; ++i) {
        test.run(pool);
    }
    CHECK(pool.workspace(0).capacity() == held);
}

}  // namespace
