// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/ops/add_rms_norm.hpp>
#include <deepseek/ops/cross_entropy.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/gated_matmul.hpp>
#include <deepseek/ops/grouped_matmul.hpp>
#include <deepseek/ops/head_loss.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/ops/rms_norm.hpp>
#include <deepseek/ops/route.hpp>
#include <deepseek/ops/route_pairs.hpp>
#include <deepseek/ops/swiglu.hpp>

#include "ops/backends.hpp"
#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>
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

namespace {

// A stack of weights, without guard bands between its rows.
template <class T, index_t R, index_t C>
struct Weight {
    std::vector<T> values;
    explicit Weight(std::uint64_t seed) {
        auto const table = Table<T, C>::random(R, seed, 0.2);
        for (index_t r = 0; r < R; ++r) {
            values.insert(values.end(), table.view().row(r), table.view().row(r) + C);
        }
    }
};
template <class T>
std::vector<double> doubles_of(std::vector<T> const& values) {
    return {values.begin(), values.end()};
}
template <index_t R, index_t C, class V>
auto matrix_of(V& values) {
    return ds::Matrix<std::remove_pointer_t<decltype(values.data())>, R, C>{values.data()};
}

constexpr index_t kExperts = 4;
constexpr index_t kIn = 24;
constexpr index_t kOut = 40;

template <class T>
struct Gated {
    Table<T, kOut> act, gate, up;
    friend bool same_bits(Gated const& a, Gated const& b) {
        return same_bits(a.act, b.act) && same_bits(a.gate, b.gate) && same_bits(a.up, b.up);
    }
};

}  // namespace

TEST_CASE_TEMPLATE("gated_matmul: is two products and swiglu, also for rows sorted by expert", T, float,
                   double, ds::bf16) {
    auto const x = Table<T, kIn>::random(kRows, 1);
    Weight<T, kExperts * kOut, kIn> const gates(2);
    Weight<T, kExperts * kOut, kIn> const ups(3);
    std::vector<std::int32_t> const ends{0, 5, 5, 30, kRows};  // the second expert has no rows
    auto const run = [&](auto& be, bool composite, bool grouped) {
        auto act = on(be, Table<T, kOut>(kRows));
        auto gate = on(be, Table<T, kOut>(kRows));
        auto up = on(be, Table<T, kOut>(kRows));
        auto const in = on(be, x);
        auto wg = on(be, gates.values);
        auto wu = on(be, ups.values);
        auto offsets = on(be, ends);
        auto const stack_g = matrix_of<kExperts * kOut, kIn>(wg);
        auto const stack_u = matrix_of<kExperts * kOut, kIn>(wu);
        auto const one_g = matrix_of<kOut, kIn>(wg);
        auto const one_u = matrix_of<kOut, kIn>(wu);
        if (composite && grouped) {
            ds::ops::grouped_gated_matmul(be, act.view(), gate.view(), up.view(), in.view(), stack_g, stack_u,
                                          offsets.data());
        } else if (composite) {
            ds::ops::gated_matmul(be, act.view(), gate.view(), up.view(), in.view(), one_g, one_u);
        } else {
            if (grouped) {
                ds::ops::grouped_matmul_nt(be, gate.view(), in.view(), stack_g, offsets.data());
                ds::ops::grouped_matmul_nt(be, up.view(), in.view(), stack_u, offsets.data());
            } else {
                ds::ops::matmul_nt(be, gate.view(), in.view(), one_g);
                ds::ops::matmul_nt(be, up.view(), in.view(), one_u);
            }
            ds::ops::swiglu(be, act.view(), gate.view(), up.view());
        }
        return Gated<T>{act.back(), gate.back(), up.back()};
    };
    for (bool const grouped : {false, true}) {
        CAPTURE(grouped);
        on_every_backend(
            [&](auto& be) {
                auto const whole = run(be, true, grouped);
                CHECK(same_bits(whole, run(be, false, grouped)));
                return whole;
            },
            [](Gated<T> const& r) {
                CHECK(r.act.guards_untouched());
                CHECK(r.gate.guards_untouched());
                CHECK(r.up.guards_untouched());
            });
    }
}

TEST_CASE_TEMPLATE("head_loss: is the head's products and cross_entropy", T, float, double, ds::bf16) {
    using Sum = ds::accumulate_t<T>;
    auto const h = Table<T, kIn>::random(kRows, 1);
    Weight<T, kOut, kIn> const weight(2);
    std::vector<ds::Token> targets(kRows);
    for (index_t i = 0; i < kRows; ++i) {
        targets[static_cast<std::size_t>(i)] = static_cast<ds::Token>(i == 3 ? -1 : i % kOut);
    }
    auto const scale = static_cast<Sum>(0.125);
    auto const run = [&](auto& be, bool composite, bool backward) {
        auto loss = on(be, Table<Sum, 1>(kRows));
        auto scores = on(be, Table<T, kOut>(kRows));
        auto dh = on(be, Table<T, kIn>(kRows));
        auto dw = on(be, std::vector<Sum>(kOut * kIn, Sum{1}));
        auto const in = on(be, h);
        auto w = on(be, weight.values);
        auto ids = on(be, targets);
        auto const view = matrix_of<kOut, kIn>(w);
        auto const gradient = matrix_of<kOut, kIn>(dw);
        if (composite && backward) {
            ds::ops::head_loss_backward(be, loss.view(), scores.view(), dh.view(), gradient, in.view(), view,
                                        ids.data(), scale);
        } else if (composite) {
            ds::ops::head_loss(be, loss.view(), scores.view(), in.view(), view, ids.data());
        } else {
            ds::ops::matmul_nt(be, scores.view(), in.view(), view);
            if (backward) {
                ds::ops::cross_entropy(be, scores.view(), ids.data(), loss.view(), scale);
                ds::ops::matmul_tn(be, gradient, scores.view(), in.view());
                ds::ops::matmul_nn(be, dh.view(), scores.view(), view);
            } else {
                ds::ops::cross_entropy_loss(be, scores.view(), ids.data(), loss.view());
            }
        }
        auto all = loss.back().doubles();
        for (auto const& more : {dh.back().doubles(), doubles_of(dw.back())}) {
            all.insert(all.end(), more.begin(), more.end());
        }
        return all;
    };
    for (bool const backward : {false, true}) {
        CAPTURE(backward);
        on_every_backend(
            [&](auto& be) {
                auto const whole = run(be, true, backward);
                CHECK(same_bits(whole, run(be, false, backward)));
                return whole;
            },
            [](std::vector<double> const& r) { CHECK(r[3] == 0); });
    }
}

TEST_CASE_TEMPLATE("route_pairs: is route and dispatch", T, float, double) {
    constexpr index_t kTopK = 2;
    auto const logits = Table<T, kExperts>::random(kRows, 1);
    auto const run = [&](auto& be, bool composite) {
        auto scores = on(be, Table<T, kExperts>(logits));
        auto chosen = on(be, Table<std::int32_t, kTopK>(kRows));
        auto gates = on(be, Table<T, kTopK>(kRows));
        auto offsets = on(be, std::vector<std::int32_t>(kExperts + 1));
        auto pair_at = on(be, std::vector<std::int32_t>(kRows * kTopK));
        auto row_of = on(be, std::vector<std::int32_t>(kRows * kTopK));
        auto bias = on(be, std::vector<ds::accumulate_t<T>>{0, 1, 0, -1});
        ds::ops::Dispatch const plan{offsets.data(), pair_at.data(), row_of.data()};
        if (composite) {
            ds::ops::route_pairs(be, plan, scores.view(), bias.data(), chosen.view(), gates.view(),
                                 ds::Routing{});
        } else {
            ds::ops::route(be, scores.view(), bias.data(), chosen.view(), gates.view(), ds::Routing{});
            ds::ops::dispatch<kExperts>(be, plan, chosen.view());
        }
        auto all = gates.back().doubles();
        for (auto const& more : {chosen.back().doubles(), doubles_of(offsets.back()),
                                 doubles_of(pair_at.back()), doubles_of(row_of.back())}) {
            all.insert(all.end(), more.begin(), more.end());
        }
        return all;
    };
    on_every_backend(
        [&](auto& be) {
            auto const whole = run(be, true);
            CHECK(same_bits(whole, run(be, false)));
            return whole;
        },
        [](std::vector<double> const& r) {
            CHECK(r.size() == kRows * (2 * kTopK + 2 * kTopK) + kExperts + 1);
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

TEST_CASE("head_loss: rows that differ in number are refused") {
    ds::Cpu be{{.threads = 1}};
    std::vector<float> memory(64);
    ds::Rows<float, 8> const two{memory.data(), 2};
    ds::Rows<float, 8> const three{memory.data(), 3};
    ds::Matrix<float, 8, 8> const w{memory.data()};
    CHECK_THROWS_AS(ds::ops::head_loss(be, ds::Rows<float, 1>{memory.data(), 2}, two, three, w, nullptr),
                    ds::ShapeError);
    CHECK_THROWS_AS(ds::ops::gated_matmul(be, two, two, three, two, w, w), ds::ShapeError);
}
