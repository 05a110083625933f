// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/layers/linear.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/testing/check_layer.hpp>

#include "support/each_backend.hpp"
#include <doctest/doctest.h>

#include <vector>

namespace ds = deepseek;

namespace {

// Linear layers as a layer of one width: y = two(one(x)) + three(x).
template <bool Bias>
struct Network {
    static constexpr ds::index_t width = 6;
    using Wider = ds::Linear<6, 9, Bias>;
    using Narrower = ds::Linear<9, 6, Bias>;
    using Beside = ds::Linear<6, 6>;

    template <class Slot>
    struct Params {
        typename Wider::template Params<Slot> one;
        typename Narrower::template Params<Slot> two;
        typename Beside::template Params<Slot> three;
    };
    template <class Slot>
    struct Saved {
        ds::rows<Slot, 9> middle;
    };
    static constexpr void visit(auto&& f, auto&... set) {
        ds::visit_child<Wider>("one.", -1, f, set.one...);
        ds::visit_child<Narrower>("two.", -1, f, set.two...);
        ds::visit_child<Beside>("three.", -1, f, set.three...);
    }
    static void forward(auto& be, ds::Pass const&, auto const& p, auto x, auto y, auto& saved) {
        auto const scope = be.scratch().scope();
        auto beside = be.scratch().template rows<typename decltype(y)::element, 6>(x.rows);
        Wider::forward(be, p.one, x, saved.middle);
        Narrower::forward(be, p.two, saved.middle, y);
        Beside::forward(be, p.three, x, beside);
        ds::ops::add(be, y, y, beside);
    }
    static void backward(auto& be, ds::Pass const&, auto const& p, auto x, auto& saved, auto dy, auto dx,
                         auto& g) {
        auto const scope = be.scratch().scope();
        auto dmiddle = be.scratch().template rows<typename decltype(dx)::element, 9>(x.rows);
        Narrower::backward_input(be, p.two, dy, dmiddle);
        Narrower::backward_params(be, saved.middle, dy, g.two);
        Wider::backward(be, p.one, x, dmiddle, dx, g.one);
        Beside::backward(be, p.three, x, dy, dx, g.three, ds::ops::Write::add);
    }
};

}  // namespace

TEST_CASE_TEMPLATE("Linear: gradients agree with finite differences", L, Network<false>, Network<true>) {
    deepseek_tests::on_each_backend([](auto& be) {
        auto const report = ds::testing::check_layer<L>(be);
        CAPTURE(report.tensor);
        CAPTURE(report.entry);
        CHECK(report.error < 1e-8);
    });
}

TEST_CASE("Linear: has a weight of [Out, In], and a bias that starts at zero and does not decay") {
    using Plain = ds::Linear<4, 3>;
    using Biased = ds::Linear<4, 3, true, ds::Init::scaled_normal>;
    static_assert(ds::param_count<Plain> == 12);
    static_assert(ds::param_count<Biased> == 15);
    std::vector<ds::Info> seen;
    ds::described_params<Biased> params{};
    Biased::visit([&](ds::Info const& info, auto const&) { seen.push_back(info); }, params);
    REQUIRE(seen.size() == 2);
    CHECK(ds::full_name(seen[0]) == "weight");
    CHECK(seen[0].init == ds::Init::scaled_normal);
    CHECK(seen[0].role == ds::Role::decayed);
    CHECK(ds::full_name(seen[1]) == "bias");
    CHECK(seen[1].init == ds::Init::zeros);
    CHECK(seen[1].role == ds::Role::undecayed);
}

TEST_CASE("Linear: rows that differ in number are refused, and none are fine") {
    ds::Cpu cpu{{.threads = 1}};
    using L = ds::Linear<2, 3, true>;
    std::vector<float> memory(6, 1);
    ds::viewed_params<L, float> params{{memory.data()}, {memory.data()}};
    ds::Rows<float, 2> const x{memory.data(), 2};
    ds::Rows<float, 3> const y{memory.data(), 1};
    CHECK_THROWS_AS(L::forward(cpu, params, x, y), ds::ShapeError);
    CHECK_THROWS_AS(L::backward(cpu, params, x, y, x, params), ds::ShapeError);
    CHECK_NOTHROW(L::forward(cpu, params, ds::Rows<float, 2>{}, ds::Rows<float, 3>{}));
}
