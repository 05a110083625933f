// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/testing/check_layer.hpp>

#include <doctest/doctest.h>

namespace ds = deepseek;

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
    ds::Cpu cpu{{.threads = 2}};
    auto const report = ds::testing::check_layer<L>(cpu, {.pass = {.sequences = 2, .length = 7}});
    CAPTURE(report.tensor);
    CAPTURE(report.entry);
    CHECK(report.error < 1e-7);
}

TEST_CASE_TEMPLATE("MoE: the balance loss has the gradient that backward adds", L, Shared, Grouped, Softmax) {
    ds::Cpu cpu{{.threads = 2}};
    auto const report =
        ds::testing::check_layer<L>(cpu, {.pass = {.sequences = 2, .length = 7, .balance_alpha = 0.7}});
    CAPTURE(report.tensor);
    CHECK(report.error < 1e-7);
}

TEST_CASE_TEMPLATE("MoE: rows with an ignored target have no share in the balance loss and its gradient", L,
                   Shared, Grouped, Softmax) {
    ds::Cpu cpu{{.threads = 2}};
    ds::Token const targets[] = {1, -1, 2, 3, -100, -100, 4, -1, 5, -1, -1, -1, -1, -1};
    double const weights[] = {0.8, 0.2};
    auto const report = ds::testing::check_layer<L>(cpu, {.pass = {.sequences = 2,
                                                                   .length = 7,
                                                                   .balance_alpha = 0.7,
                                                                   .targets = targets,
                                                                   .sequence_weights = weights}});
    CAPTURE(report.tensor);
    CHECK(report.error < 1e-7);
}

TEST_CASE("MoE: experts without tokens keep their gradient, and the load counts every choice") {
    using L = ds::MoE<16, 2, 4>::bind<8>;
    ds::Cpu cpu{{.threads = 2}};
    constexpr auto kSize = static_cast<std::size_t>(ds::param_bytes<L, double>) / sizeof(double);
    std::vector<double> weights(kSize, 0.1), gradient_memory(kSize, 0.0);
    ds::viewed_params<L, double> params{}, gradients{};
    ds::bind<L, double>(params, reinterpret_cast<std::byte*>(weights.data()));
    ds::bind<L, double>(gradients, reinterpret_cast<std::byte*>(gradient_memory.data()));
    params.bias.data[3] = params.bias.data[11] = 10;  // everyone goes there

    std::vector<double> x(5 * 8, 0.3), y(x.size()), dy(x.size(), 1.0), dx(x.size());
    ds::Arena<ds::Cpu> arena(cpu);
    auto saved = ds::take_set<L::Saved, double>(arena, 5);
    ds::Rows<double, 8> const in{x.data(), 5}, out{y.data(), 5}, dout{dy.data(), 5}, din{dx.data(), 5};
    ds::Pass pass{.length = 5};
    ds::Token const targets[] = {1, -1, 0, -100, 2};
    unsigned counted = 5;
    L::forward(cpu, pass, params, in, out, saved);
    SUBCASE("of all rows") {}
    SUBCASE("of the rows whose target counts") {
        pass.targets = targets;
        counted = 3;
    }
    L::backward(cpu, pass, params, in, saved, dout, din, gradients);
    for (int e = 0; e < 16; ++e) {
        bool const used = e == 3 || e == 11;
        CAPTURE(e);
        CHECK(ds::count_in(gradients.bias.data[e]) == (used ? counted : 0));
        CHECK((gradients.down.row(e * 8)[0] != 0) == used);
        CHECK((gradients.gate.row(e * 4)[0] != 0) == used);
    }
}
