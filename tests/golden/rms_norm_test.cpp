// SPDX-License-Identifier: MIT
// labels: golden
// RMSNorm against transformers: rows 1 and 2 of the specification's list.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/rms_norm.hpp>

#include "golden/golden.hpp"
#include "golden/golden_weights.hpp"
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

using namespace deepseek_tests;
namespace ds = deepseek;

TEST_CASE_TEMPLATE("rms_norm: values and gradients equal transformers on ordinary, tiny and huge rows", T,
                   float, double) {
    Fixture const fixture("layers");
    auto const exponents = fixture.ints("rms_norm.exponents");
    constexpr index_t width = 64;
    auto const rows = static_cast<index_t>(exponents.size());
    auto x = golden_unit<T>("rms_norm.x", rows * width);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = std::ldexp(x[i], static_cast<int>(exponents[i / width]));
    }
    auto dy = golden_unit<T>("rms_norm.dy", rows * width);
    std::vector<T> gain(width);
    fill_golden("model.norm.weight", std::span<T>(gain));
    ds::Cpu cpu{{.threads = 1}};
    for (std::string const epsilon : {"1e-6", "1e-5"}) {
        CAPTURE(epsilon);
        std::vector<T> y(x.size());
        std::vector<T> dx(x.size());
        std::vector<T> inverse_rms(exponents.size());
        std::vector<T> dgain(width);
        auto const view = [&](std::vector<T>& values) {
            return ds::Rows<T, width>{values.data(), rows, width};
        };
        ds::Matrix<T, width> const weight{gain.data()};
        ds::Rows<T, 1> const inverse{inverse_rms.data(), rows, 1};
        ds::ops::rms_norm(cpu, view(y), view(x), weight, inverse, std::stod(epsilon));
        ds::ops::rms_norm_backward(cpu, view(dx), ds::Matrix<T, width>{dgain.data()}, view(dy), view(x),
                                   weight, inverse, ds::ops::Write::overwrite);
        auto const value_tolerance = std::is_same_v<T, double> ? 1e-14 : 1e-6;
        auto const gradient_tolerance = std::is_same_v<T, double> ? 1e-12 : 1e-5;
        auto const prefix = "rms_norm." + epsilon;
        CHECK(scaled_error(y, fixture.doubles(prefix + ".y")) <= value_tolerance);
        CHECK(relative_error(dgain, fixture.doubles(prefix + ".dgain")) <= gradient_tolerance);
        // Gradients of a tiny row are as much larger: row by row.
        auto const expected = fixture.doubles(prefix + ".dx");
        for (std::size_t row = 0; row < exponents.size(); ++row) {
            CAPTURE(exponents[row]);
            auto const begin = static_cast<std::ptrdiff_t>(row) * width;
            CHECK(relative_error(
                      std::vector<T>(dx.begin() + begin, dx.begin() + begin + width),
                      std::vector<double>(expected.begin() + begin, expected.begin() + begin + width)) <=
                  gradient_tolerance);
        }
    }
}
