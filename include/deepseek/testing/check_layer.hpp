// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTING_CHECK_LAYER_HPP
#define DEEPSEEK_TESTING_CHECK_LAYER_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/testing/gradients.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::testing {

/// What a layer is checked on.
struct LayerCheck {
    Pass pass{.sequences = 2, .length = 5};
    Seed seed{1};            ///< of parameters, input and output gradient
    double deviation = 0.5;  ///< of the random parameters and inputs; large enough for every branch to matter
};

/// Checks a layer against its contract (core/layer.hpp) in double precision and returns the worst disagreement of its
/// gradients with finite differences of forward.
///
/// Output, saved values and dx are poisoned with NaN beforehand, so what a layer does not write shows; gradients start
/// from numbers, so overwriting instead of adding shows.
///
/// Errors:    Error if y or dx holds a NaN afterwards, if gradients were not added to, or if running the same backward
///            pass twice gives different bits
template <Layer L, class B>
GradientReport check_layer(B& be, LayerCheck const& check = {}) {
    auto const rows = check.pass.rows();
    auto const size = static_cast<std::size_t>(rows * L::width);
    RandomKey const key{check.seed};
    constexpr double kStart = 0.25;  // what gradients hold before backward adds to them
    constexpr double kPoison = std::numeric_limits<double>::quiet_NaN();

    auto const memory = static_cast<std::size_t>(param_bytes<L, double>) / sizeof(double);
    std::vector<double> param_memory(memory + 8), gradient_memory(memory + 8);
    auto const aligned = [](std::vector<double>& v) { return reinterpret_cast<std::byte*>(v.data()); };
    viewed_params<L, double> params{}, gradients{};
    bind<L, double>(params, aligned(param_memory));
    bind<L, double>(gradients, aligned(gradient_memory));
    std::uint64_t next = 0;
    L::visit(
        [&]<class Tensor>(Info const& info, Tensor& value, Tensor& gradient) {
            auto const mean = info.init == Init::ones ? 1.0 : 0.0;
            for (index_t i = 0; i < Tensor::size; ++i) {
                value.data[i] = mean + check.deviation * key.normal(next++);
                gradient.data[i] = kStart;
            }
        },
        params, gradients);

    std::vector<double> x(size), y(size), dy(size), dx(size), kept_dy(size);
    for (std::size_t i = 0; i < size; ++i) {
        x[i] = key.normal(next++);
        dy[i] = key.normal(next++);
    }
    kept_dy = dy;
    using In = Rows<double, L::width>;
    In const x_rows{x.data(), rows}, y_rows{y.data(), rows}, dy_rows{dy.data(), rows},
        dx_rows{dx.data(), rows};

    Arena<B> arena(be);
    double balance = 0;
    auto pass = check.pass;
    pass.balance_loss = &balance;
    auto const forward = [&] {
        std::fill(y.begin(), y.end(), kPoison);
        balance = 0;
        auto saved = take_set<L::template Saved, double>(arena, rows);
        L::forward(be, pass, params, x_rows, y_rows, saved);
        return saved;
    };
    auto const loss = [&] {
        auto const scope = arena.scope();
        forward();
        double sum = balance;
        for (std::size_t i = 0; i < size; ++i) {
            sum += kept_dy[i] * y[i];
        }
        return sum;
    };
    auto const backward = [&] {
        auto const scope = arena.scope();
        auto saved = forward();
        std::fill(dx.begin(), dx.end(), kPoison);
        L::backward(be, pass, params, x_rows, saved, dy_rows, dx_rows, gradients);
    };

    backward();
    auto const is_nan = [](double v) { return std::isnan(v); };
    expects(std::none_of(y.begin(), y.end(), is_nan), "check_layer: forward left part of y unwritten");
    expects(std::none_of(dx.begin(), dx.end(), is_nan), "check_layer: backward left part of dx unwritten");
    expects(dy == kept_dy, "check_layer: backward changed dy");

    auto const first_dx = dx;
    auto const first = gradient_memory;
    L::visit([&]<class Tensor>(Info const&, Tensor& g) { std::fill(g.data, g.data + Tensor::size, kStart); },
             gradients);
    backward();
    expects(dx == first_dx && gradient_memory == first,
            "check_layer: two equal backward passes differ in bits");
    L::visit(
        [&]<class Tensor>(Info const&, Tensor& g) {
            for (index_t i = 0; i < Tensor::size; ++i) {
                g.data[i] -= kStart;
            }
        },
        gradients);

    auto worst = compare_gradients<L>(params, gradients, loss);
    worst.include(compare_gradient("x", x.data(), dx.data(), static_cast<index_t>(size), loss));
    return worst;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::testing

#endif
