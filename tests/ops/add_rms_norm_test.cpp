// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/ops/add_rms_norm.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/rms_norm.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace deepseek_tests;

namespace {

constexpr index_t kRows = 37;
constexpr index_t kWidth = 147;

auto vector_of(auto&& one_row) {
    auto const row = one_row.view();
    return ds::Matrix<typename decltype(row)::element, kWidth>{row.data};
}

template <class T>
struct Normed {
    Table<T, kWidth> y;
    Table<T, kWidth> sum;
    Table<ds::accumulate_t<T>, 1> inverse_rms;

    friend bool same_bits(Normed const& a, Normed const& b) {
        return same_bits(a.y, b.y) && same_bits(a.sum, b.sum) && same_bits(a.inverse_rms, b.inverse_rms);
    }
};

}  // namespace

TEST_CASE_TEMPLATE("add_rms_norm: is add and rms_norm, also where the sum replaces a summand", T, float,
                   double, ds::bf16) {
    auto const a = Table<T, kWidth>::random(kRows, 1);
    auto const b = Table<T, kWidth>::random(kRows, 2);
    auto const gain = Table<T, kWidth>::random(1, 3);
    auto const run = [&](auto& be, bool composite) {
        auto y = on(be, Table<T, kWidth>(kRows));
        auto sum = on(be, a);
        auto inverse_rms = on(be, Table<ds::accumulate_t<T>, 1>(kRows));
        auto const summand = on(be, b);
        auto const gains = on(be, gain);
        if (composite) {
            ds::ops::add_rms_norm(be, y.view(), sum.view(), sum.view(), summand.view(), vector_of(gains),
                                  inverse_rms.view(), 1e-6);
        } else {
            ds::ops::add(be, sum.view(), sum.view(), summand.view());
            ds::ops::rms_norm(be, y.view(), sum.view(), vector_of(gains), inverse_rms.view(), 1e-6);
        }
        return Normed<T>{y.back(), sum.back(), inverse_rms.back()};
    };
    on_every_backend(
        [&](auto& be) {
            auto const whole = run(be, true);
            CHECK(same_bits(whole, run(be, false)));
            return whole;
        },
        [](Normed<T> const& r) {
            CHECK(r.y.guards_untouched());
            CHECK(r.sum.guards_untouched());
        });
}

namespace elsewhere {

// A backend that fuses the two and lacks everything that their parts would need.
struct Fusing {
    using own = ds::OperationList<ds::ops::AddRmsNorm>;
    int calls = 0;
};
void compute(ds::ops::AddRmsNorm, Fusing& be, auto const&...) { ++be.calls; }

}  // namespace elsewhere

TEST_CASE("add_rms_norm: a backend that has the whole is not asked for the parts") {
    elsewhere::Fusing be;
    float memory[8] = {};
    ds::Rows<float, 8> const x{memory, 1};
    ds::ops::add_rms_norm(be, x, x, x, x, ds::Matrix<float, 8>{memory}, ds::Rows<float, 1>{memory, 1}, 1e-6);
    CHECK(be.calls == 1);
}

TEST_CASE("add_rms_norm: rows that differ in number are refused") {
    ds::Cpu be{{.threads = 1}};
    std::vector<float> memory(64);
    ds::Rows<float, 8> const two{memory.data(), 2};
    ds::Rows<float, 8> const three{memory.data(), 3};
    CHECK_THROWS_AS(ds::ops::add_rms_norm(be, two, two, three, two, ds::Matrix<float, 8>{memory.data()},
                                          ds::Rows<float, 1>{memory.data(), 2}, 1e-6),
                    ds::ShapeError);
}
