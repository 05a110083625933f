// SPDX-License-Identifier: MIT
// What testing::check_layer finds, on the emulated device.
#include <deepseek/backend/emulated.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/testing/check_layer.hpp>

#include "support/fault.hpp"
#include <doctest/doctest.h>

namespace ds = deepseek;

namespace {

enum class Fault {
    none,
    y_left,
    saved_left,
    dx_left,
    gradient_wrong,
    gradient_replaced,
    on_the_host,
    dy_changed
};

// y = w · x, with its input in Saved, and one thing wrong.
template <Fault Wrong>
struct Scaling {
    static constexpr ds::index_t width = 3;

    template <class Slot>
    struct Params {
        ds::param<Slot, 3, 3> weight;
    };
    template <class Slot>
    struct Saved {
        ds::rows<Slot, 3> input;
    };
    static constexpr void visit(auto&& f, auto&... set) { f(ds::Info{.name = "weight"}, set.weight...); }

    static void forward(auto& be, ds::Pass const&, auto const& p, auto x, auto y, auto& saved) {
        if constexpr (Wrong != Fault::saved_left) {
            ds::ops::copy(be, saved.input, x);
        }
        auto const rows = Wrong == Fault::y_left ? x.rows - 1 : x.rows;
        ds::ops::matmul_nt(be, y.slice(0, rows), x.slice(0, rows), p.weight);
        if constexpr (Wrong == Fault::on_the_host) {
            y.data[0] = 1;
        }
    }
    static void backward(auto& be, ds::Pass const&, auto const& p, auto x, auto& saved, auto dy, auto dx,
                         auto& g) {
        auto const rows = Wrong == Fault::dx_left ? x.rows - 1 : x.rows;
        if constexpr (Wrong == Fault::gradient_replaced) {
            ds::ops::fill(be, ds::ops::as_rows(g.weight), 0);
        }
        ds::ops::matmul_tn(be, g.weight, dy, saved.input);
        if constexpr (Wrong == Fault::gradient_wrong) {
            ds::ops::matmul_tn(be, g.weight, dy.slice(0, 1), saved.input.slice(0, 1));
        }
        ds::ops::matmul_nn(be, dx.slice(0, rows), dy.slice(0, rows), p.weight);
        if constexpr (Wrong == Fault::dy_changed) {
            ds::ops::scale(be, dy, 2);
        }
    }
};

template <Fault Wrong>
double error_of() {
    ds::Emulated be;
    return ds::testing::check_layer<Scaling<Wrong>>(be).error;
}

}  // namespace

TEST_CASE("check_layer: a layer without a fault has gradients that agree with finite differences") {
    CHECK(error_of<Fault::none>() < 1e-9);
}

TEST_CASE("check_layer: a part of the output, of dx or of saved that is not written shows") {
    CHECK_THROWS_WITH_AS(error_of<Fault::y_left>(), "check_layer: forward left part of y unwritten",
                         ds::Error);
    CHECK_THROWS_WITH_AS(
        error_of<Fault::dx_left>(),
        "check_layer: backward left part of dx unwritten, or read what forward had not written", ds::Error);
    CHECK_THROWS_WITH_AS(error_of<Fault::saved_left>(),
                         "check_layer: a gradient is NaN: backward read what forward had not written",
                         ds::Error);
}

TEST_CASE("check_layer: gradients that are wrong or replace what was there are found, and a changed dy") {
    CHECK(error_of<Fault::gradient_wrong>() > 0.01);
    CHECK(error_of<Fault::gradient_replaced>() > 0.01);
    CHECK_THROWS_WITH_AS(error_of<Fault::dy_changed>(), "check_layer: backward changed dy", ds::Error);
}

TEST_CASE("check_layer: a layer that touches its tensors on the host faults") {
    CHECK(deepseek_tests::faults([] { error_of<Fault::on_the_host>(); }));
}
