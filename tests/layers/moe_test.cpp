// SPDX-License-Identifier: MIT
#include <deepseek/layers/moe.hpp>
#include <deepseek/testing/check_layer.hpp>

#include "support/each_backend.hpp"
#include "support/placed.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <type_traits>
#include <vector>

namespace ds = deepseek;
using deepseek_tests::on;
using deepseek_tests::on_each_backend;

namespace {

constexpr ds::Routing kGrouped{.groups = 4, .groups_kept = 2, .scale = 2.5};
constexpr ds::Routing kSoftmax{
    .scoring = ds::Scoring::softmax, .normalize = false, .scale = 1.5, .bias = false};
constexpr ds::Routing kSoftmaxNormalised{.scoring = ds::Scoring::softmax, .bias = false};
constexpr ds::Routing kUnscaled{.normalize = false};

using Plain = ds::MoE<6, 2, 5>::bind<8>;
using Shared = ds::MoE<6, 2, 5, 7>::bind<8>;
using Grouped = ds::MoE<8, 3, 4, 6, kGrouped>::bind<8>;
using Softmax = ds::MoE<6, 2, 5, 7, kSoftmax>::bind<8>;
using SoftmaxNormalised = ds::MoE<6, 2, 5, 0, kSoftmaxNormalised>::bind<8>;
using Unscaled = ds::MoE<6, 3, 5, 0, kUnscaled>::bind<8>;
using Single = ds::MoE<4, 1, 5, 7, kSoftmax>::bind<8>;
using All = ds::MoE<3, 3, 5>::bind<8>;

}  // namespace

TEST_CASE_TEMPLATE("MoE: gradients agree with finite differences", L, Plain, Shared, Grouped, Softmax,
                   SoftmaxNormalised, Unscaled, Single, All) {
    on_each_backend([](auto& be) {
        auto const report = ds::testing::check_layer<L>(be, {.pass = {.sequences = 2, .length = 7}});
        CAPTURE(report.tensor);
        CAPTURE(report.entry);
        CHECK(report.error < 1e-7);
    });
}

TEST_CASE_TEMPLATE("MoE: the balance loss has the gradient that backward adds", L, Shared, Grouped, Softmax) {
    on_each_backend([](auto& be) {
        auto const report =
            ds::testing::check_layer<L>(be, {.pass = {.sequences = 2, .length = 7, .balance_alpha = 0.7}});
        CAPTURE(report.tensor);
        CHECK(report.error < 1e-7);
    });
}

TEST_CASE_TEMPLATE("MoE: rows with an ignored target have no share in the balance loss and its gradient", L,
                   Shared, Grouped, Softmax) {
    on_each_backend([](auto& be) {
        auto const targets =
            on(be, std::vector<ds::Token>{1, -1, 2, 3, -100, -100, 4, -1, 5, -1, -1, -1, -1, -1});
        auto const weights = on(be, std::vector{0.8, 0.2});
        auto const report = ds::testing::check_layer<L>(be, {.pass = {.sequences = 2,
                                                                      .length = 7,
                                                                      .balance_alpha = 0.7,
                                                                      .targets = targets.data(),
                                                                      .sequence_weights = weights.data()}});
        CAPTURE(report.tensor);
        CHECK(report.error < 1e-7);
    });
}

TEST_CASE("MoE: experts without tokens keep their gradient, and the load counts every choice") {
    using L = ds::MoE<16, 2, 4>::bind<8>;
    constexpr auto kSize = static_cast<std::size_t>(ds::param_bytes<L, double>) / sizeof(double);
    for (bool const of_counting_rows : {false, true}) {
        CAPTURE(of_counting_rows);
        on_each_backend([=](auto& be) {
            std::vector<double> weights(kSize, 0.1);
            ds::viewed_params<L, double> host{}, params{}, gradients{};
            ds::bind<L, double>(host, reinterpret_cast<std::byte*>(weights.data()));
            host.bias.data[3] = host.bias.data[11] = 10;  // everyone goes there
            auto placed_weights = on(be, weights);
            auto placed_gradients = on(be, std::vector<double>(kSize, 0.0));
            ds::bind<L, double>(params, reinterpret_cast<std::byte*>(placed_weights.data()));
            ds::bind<L, double>(gradients, reinterpret_cast<std::byte*>(placed_gradients.data()));

            auto x = on(be, std::vector<double>(5 * 8, 0.3));
            auto y = on(be, std::vector<double>(5 * 8));
            auto dy = on(be, std::vector<double>(5 * 8, 1.0));
            auto dx = on(be, std::vector<double>(5 * 8));
            ds::Rows<double, 8> const in{x.data(), 5}, out{y.data(), 5}, dout{dy.data(), 5},
                din{dx.data(), 5};
            ds::Arena<std::remove_reference_t<decltype(be)>> arena(be);
            auto saved = ds::take_set<L::Saved, double>(arena, 5);
            ds::Pass pass{.length = 5};
            auto const targets = on(be, std::vector<ds::Token>{1, -1, 0, -100, 2});
            L::forward(be, pass, params, in, out, saved);
            if (of_counting_rows) {
                pass.targets = targets.data();
            }
            L::backward(be, pass, params, in, saved, dout, din, gradients);

            auto result = placed_gradients.back();
            ds::bind<L, double>(host, reinterpret_cast<std::byte*>(result.data()));
            for (int e = 0; e < 16; ++e) {
                bool const used = e == 3 || e == 11;
                CAPTURE(e);
                CHECK(ds::count_in(host.bias.data[e]) == (!used ? 0U : of_counting_rows ? 3U : 5U));
                CHECK((host.down.row(e * 8)[0] != 0) == used);
                CHECK((host.gate.row(e * 4)[0] != 0) == used);
            }
        });
    }
}
