// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/testing/check_layer.hpp>

#include "support/each_backend.hpp"
#include <doctest/doctest.h>

namespace ds = deepseek;

TEST_CASE("SwiGLU: gradients agree with finite differences") {
    deepseek_tests::on_each_backend([](auto& be) {
        auto const report = ds::testing::check_layer<ds::SwiGLU<12>::bind<8>>(be);
        CAPTURE(report.tensor);
        CAPTURE(report.entry);
        CHECK(report.error < 1e-8);
    });
}

TEST_CASE("SwiGLU: an empty batch is fine") {
    ds::Cpu cpu{{.threads = 1}};
    using L = ds::SwiGLU<12>::bind<8>;
    ds::viewed_params<L, float> params{};
    ds::Rows<float, 8> const none{};
    L::Saved<ds::Viewed<float>> saved{};
    CHECK_NOTHROW(L::forward(cpu, ds::Pass{}, params, none, none, saved));
    CHECK_NOTHROW(L::backward(cpu, ds::Pass{}, params, none, saved, none, none, params));
}
