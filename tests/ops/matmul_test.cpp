// SPDX-License-Identifier: MIT
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/grouped_matmul.hpp>
#include <deepseek/ops/matmul.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

constexpr index_t kRows = 9;
constexpr index_t kIn = 19;
constexpr index_t kOut = 7;
constexpr index_t kGroups = 5;
std::vector<std::int32_t> const kOffsets{0, 0, 4, 5, 5, 9};  // the first group and the fourth have no rows

// The group of a row, and where there are no groups.
using GroupOf = std::function<index_t(index_t row)>;
index_t only_group(index_t) { return 0; }
index_t group_of(index_t row) {
    index_t group = 0;
    while (kOffsets[static_cast<std::size_t>(group) + 1] <= row) {
        ++group;
    }
    return group;
}

// A linear layer by its definition: y = x · wᵀ of every row with its group's weight, dx = dy · w, dw = dyᵀ · x. What is
// added to comes first.
struct Linear {
    std::vector<double> x, y, w;  // [rows, in], [rows, out], [groups * out, in]
    GroupOf group;

    template <class F>
    void each(F const& f) const {
        for (index_t r = 0; r < kRows; ++r) {
            for (index_t o = 0; o < kOut; ++o) {
                for (index_t i = 0; i < kIn; ++i) {
                    f(static_cast<std::size_t>(r * kOut + o), static_cast<std::size_t>(r * kIn + i),
                      static_cast<std::size_t>((group(r) * kOut + o) * kIn + i));
                }
            }
        }
    }
    std::vector<double> nt(std::vector<double> sum) const {
        each([&](std::size_t in_y, std::size_t in_x, std::size_t in_w) { sum[in_y] += x[in_x] * w[in_w]; });
        return sum;
    }
    std::vector<double> nn(std::vector<double> sum) const {
        each([&](std::size_t in_y, std::size_t in_x, std::size_t in_w) { sum[in_x] += y[in_y] * w[in_w]; });
        return sum;
    }
    std::vector<double> tn(std::vector<double> sum) const {
        each([&](std::size_t in_y, std::size_t in_x, std::size_t in_w) { sum[in_w] += y[in_y] * x[in_x]; });
        return sum;
    }
};

template <class W>
std::vector<W> weight(index_t rows, std::uint64_t seed) {
    std::vector<W> all;
    auto const key = ds::RandomKey{ds::Seed{seed}};
    for (index_t i = 0; i < rows * kIn; ++i) {
        all.push_back(ds::convert<W>(key.normal(static_cast<std::uint64_t>(i))));
    }
    return all;
}

template <class T>
std::vector<double> doubles(std::vector<T> const& values) {
    std::vector<double> all;
    for (auto const value : values) {
        all.push_back(ds::convert<double>(value));
    }
    return all;
}

template <class First, class Second>
struct Types {
    using T = First;
    using W = Second;
};

// All products of a layer; sums of kIn products of about one, as many times rounded, relative to sums of about the root
// of their number.
template <class T, class W, index_t Stack, bool Grouped>
void check(GroupOf const& group) {
    auto const x = Table<T, kIn>::random(kRows, 1);
    auto const y = Table<T, kOut>::random(kRows, 2);
    auto const w = weight<W>(Stack, 3);
    auto const dw = weight<T>(Stack, 4);
    Linear const layer{x.doubles(), y.doubles(), doubles(w), group};
    auto const bound = rounding<T>(2 * kIn);
    for (auto const write : {ds::ops::Write::overwrite, ds::ops::Write::add}) {
        bool const add = write == ds::ops::Write::add;
        CAPTURE(add);
        if (!Grouped || !add) {  // groups have no forward product that adds
            on_every_backend(
                [&](auto& be) {
                    auto out = on(be, Table<T, kOut>(y));
                    auto const weights = on(be, w);
                    ds::Matrix<W const, Stack, kIn> const matrix{weights.data()};
                    if constexpr (Grouped) {
                        ds::ops::grouped_matmul_nt(be, out.view(), on(be, x).view(), matrix,
                                                   on(be, kOffsets).data());
                    } else {
                        ds::ops::matmul_nt(be, out.view(), on(be, x).view(), matrix, write);
                    }
                    return out.back();
                },
                [&](Table<T, kOut> const& out) {
                    auto const expected = layer.nt(add ? layer.y : std::vector<double>(layer.y.size()));
                    CHECK(difference(out.doubles(), expected) < bound);
                    CHECK(out.guards_untouched());
                });
        }
        on_every_backend(
            [&](auto& be) {
                auto out = on(be, Table<T, kIn>(x));
                auto const weights = on(be, w);
                ds::Matrix<W const, Stack, kIn> const matrix{weights.data()};
                if constexpr (Grouped) {
                    ds::ops::grouped_matmul_nn(be, out.view(), on(be, y).view(), matrix,
                                               on(be, kOffsets).data(), write);
                } else {
                    ds::ops::matmul_nn(be, out.view(), on(be, y).view(), matrix, write);
                }
                return out.back();
            },
            [&](Table<T, kIn> const& out) {
                auto const expected = layer.nn(add ? layer.x : std::vector<double>(layer.x.size()));
                CHECK(difference(out.doubles(), expected) < bound);
                CHECK(out.guards_untouched());
            });
    }
    on_every_backend(
        [&](auto& be) {
            auto gradient = on(be, dw);
            ds::Matrix<T, Stack, kIn> const matrix{gradient.data()};
            if constexpr (Grouped) {
                ds::ops::grouped_matmul_tn(be, matrix, on(be, y).view(), on(be, x).view(),
                                           on(be, kOffsets).data());
            } else {
                ds::ops::matmul_tn(be, matrix, on(be, y).view(), on(be, x).view());
            }
            return gradient.back();
        },
        [&](std::vector<T> const& gradient) {
            CHECK(difference(doubles(gradient), layer.tn(doubles(dw))) < bound);
        });
}

}  // namespace

TYPE_TO_STRING_AS("double", Types<double, double>);
TYPE_TO_STRING_AS("float", Types<float, float>);
TYPE_TO_STRING_AS("float with bf16", Types<float, ds::bf16>);

TEST_CASE_TEMPLATE("matmul: a layer and both its gradients agree with their definition", P,
                   Types<double, double>, Types<float, float>, Types<float, ds::bf16>) {
    check<typename P::T, typename P::W, kOut, false>(only_group);
}

TEST_CASE_TEMPLATE("grouped_matmul: every row with its group's weight, groups without rows included", P,
                   Types<double, double>, Types<float, float>, Types<float, ds::bf16>) {
    check<typename P::T, typename P::W, kGroups * kOut, true>(group_of);
}
