// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu/gemm.hpp>

#include "reference/matmul.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

namespace {

using namespace deepseek;
using reference::Guarded;
using reference::Numbers;

// Rows of tokens sorted by expert, and a stack of weights.
template <class T, class W>
struct Experts {
    Experts(std::vector<std::int32_t> rows_per_expert, index_t out, index_t in, index_t pad = 3)
        : out(out), in(in), groups(static_cast<index_t>(rows_per_expert.size())), offsets{0} {
        for (auto const count : rows_per_expert) {
            offsets.push_back(offsets.back() + count);
        }
        auto const rows = offsets.back();
        Numbers numbers(static_cast<std::uint64_t>(rows + out * 7 + in));
        x = std::make_unique<Guarded<T>>(rows, in, pad, T{-77});
        y = std::make_unique<Guarded<T>>(rows, out, pad, T{-77});
        w = std::make_unique<Guarded<W>>(groups * out, in, pad, W(-77));
        x->fill(numbers);
        y->fill(numbers);
        w->fill(numbers);
    }
    index_t begin(index_t expert) const { return offsets[static_cast<std::size_t>(expert)]; }
    index_t count(index_t expert) const { return begin(expert + 1) - begin(expert); }
    Strided<T const> of(Guarded<T> const& all, index_t expert) const {  // the rows of one expert
        return {all.view.row(begin(expert)), count(expert), all.view.cols, all.view.stride};
    }
    Strided<W const> weight(Guarded<W> const& stack, index_t expert) const {
        return {stack.view.row(expert * out), out, in, stack.view.stride};
    }

    index_t out, in, groups;
    std::vector<std::int32_t> offsets;
    std::unique_ptr<Guarded<T>> x, y;
    std::unique_ptr<Guarded<W>> w;
};

// Runs all three products; the operand that is the result starts with what it holds, or with NaNs if overwritten.
template <class T, class W>
void check(cpu::Pool& pool, std::vector<std::int32_t> const& rows, index_t out, index_t in) {
    constexpr auto kNone = std::numeric_limits<T>::quiet_NaN();
    for (bool const add : {false, true}) {
        CAPTURE(add);
        CAPTURE(out);
        CAPTURE(in);
        Experts<T, W> const before(rows, out, in);
        {
            Experts<T, W> test(rows, out, in);
            add ? void() : test.y->fill(kNone);
            cpu::grouped_gemm_nt(pool, test.y->view, test.x->read(), test.w->read(), test.offsets.data(),
                                 test.groups, add);
            for (index_t e = 0; e < test.groups; ++e) {
                CHECK(reference::worst_error<T>(test.of(*test.y, e), test.of(*test.x, e), false,
                                                test.weight(*test.w, e), true, add,
                                                before.of(*before.y, e)) <= 1.0);
            }
            CHECK(test.y->guards_untouched());
        }
        {
            Experts<T, W> test(rows, out, in);
            add ? void() : test.x->fill(kNone);
            cpu::grouped_gemm_nn(pool, test.x->view, test.y->read(), test.w->read(), test.offsets.data(),
                                 test.groups, add);
            for (index_t e = 0; e < test.groups; ++e) {
                CHECK(reference::worst_error<T>(test.of(*test.x, e), test.of(*test.y, e), false,
                                                test.weight(*test.w, e), false, add,
                                                before.of(*before.x, e)) <= 1.0);
            }
            CHECK(test.x->guards_untouched());
        }
        if constexpr (std::is_same_v<T, W>) {
            Experts<T, W> test(rows, out, in);
            add ? void() : test.w->fill(kNone);
            cpu::grouped_gemm_tn(pool, test.w->view, test.y->read(), test.x->read(), test.offsets.data(),
                                 test.groups, add);
            for (index_t e = 0; e < test.groups; ++e) {  // an expert without rows: zeros, or what was there
                CHECK(reference::worst_error<T>(test.weight(*test.w, e), test.of(*test.y, e), true,
                                                test.of(*test.x, e), false, add,
                                                before.weight(*before.w, e)) <= 1.0);
            }
            CHECK(test.w->guards_untouched());
        }
    }
}

TEST_CASE("grouped gemm: agrees with the definition, expert by expert") {
    cpu::Pool pool(3);
    check<float, float>(pool, {40, 33, 1, 70}, 50, 60);
    check<float, float>(pool, {5}, 13, 17);
    check<float, float>(pool, {150, 2, 90}, 130, 70);
    check<float, bf16>(pool, {40, 33, 1, 70}, 50, 60);
    check<double, double>(pool, {12, 33, 1}, 50, 20);
}

TEST_CASE("grouped gemm: experts without rows") {
    cpu::Pool pool(2);
    check<float, float>(pool, {0, 20, 0, 0, 31, 0}, 24, 40);
    check<float, float>(pool, {0, 0, 0}, 24, 40);
    check<float, float>(pool, {0, 0, 3}, 24, 40);
}

TEST_CASE("grouped gemm: as many small groups as a large model has experts") {
    cpu::Pool pool(2);
    std::vector<std::int32_t> rows(160);
    for (std::size_t e = 0; e < rows.size(); ++e) {
        rows[e] = static_cast<std::int32_t>(e * 7 % 4);
    }
    check<float, float>(pool, rows, 18, 22);
}

TEST_CASE("grouped gemm: the same bits for any number of threads, and as each expert alone") {
    std::vector<std::int32_t> const rows{300, 0, 1, 17, 210, 5};
    cpu::Pool one(1);
    Experts<float, float> y(rows, 200, 150);
    Experts<float, float> x(rows, 200, 150);
    Experts<float, float> w(rows, 200, 150);
    for (index_t e = 0; e < y.groups; ++e) {
        auto const row = y.begin(e);
        auto const count = y.count(e);
        Strided<float> const y_e{y.y->view.row(row), count, 200, y.y->view.stride};
        Strided<float> const x_e{x.x->view.row(row), count, 150, x.x->view.stride};
        Strided<float> const w_e{w.w->view.row(e * 200), 200, 150, w.w->view.stride};
        cpu::gemm(one, y_e, y.of(*y.x, e), false, y.weight(*y.w, e), true, false);
        cpu::gemm(one, x_e, x.of(*x.y, e), false, x.weight(*x.w, e), false, false);
        cpu::gemm(one, w_e, w.of(*w.y, e), true, w.of(*w.x, e), false, true);
    }
    for (int const threads : {1, 2, 3, 7}) {
        CAPTURE(threads);
        cpu::Pool pool(threads);
        Experts<float, float> nt(rows, 200, 150);
        Experts<float, float> nn(rows, 200, 150);
        Experts<float, float> tn(rows, 200, 150);
        cpu::grouped_gemm_nt(pool, nt.y->view, nt.x->read(), nt.w->read(), nt.offsets.data(), nt.groups,
                             false);
        cpu::grouped_gemm_nn(pool, nn.x->view, nn.y->read(), nn.w->read(), nn.offsets.data(), nn.groups,
                             false);
        cpu::grouped_gemm_tn(pool, tn.w->view, tn.y->read(), tn.x->read(), tn.offsets.data(), tn.groups,
                             true);
        CHECK(nt.y->elements == y.y->elements);
        CHECK(nn.x->elements == x.x->elements);
        CHECK(tn.w->elements == w.w->elements);
    }
}

}  // namespace
