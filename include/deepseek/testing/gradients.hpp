// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTING_GRADIENTS_HPP
#define DEEPSEEK_TESTING_GRADIENTS_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/visit.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::testing {

/// The worst disagreement between a gradient and finite differences.
struct GradientReport {
    double error = 0;  ///< |given - measured| over the largest measured entry of the tensor (at least 1e-6)
    std::string tensor{};  ///< its name …
    index_t entry = 0;     ///< … and the entry in it
    double given = 0;      ///< by the layer
    double measured = 0;   ///< by finite differences

    /// Becomes the other where that is worse.
    void include(GradientReport const& other) {
        if (!(other.error <= error)) {  // a NaN is the worst
            *this = other;
        }
    }
};

/// The derivative of a function of one number, by central differences of fourth order at three steps. The two
/// estimates that agree best decide: a large step suffers from curvature and from jumps nearby (a router's choice), a
/// small one from rounding.
///
/// Precision: about 1e-10 relative for values of order one
template <class F>
double derivative(double& x, F const& f) {
    double const at = x;
    auto const value = [&](double offset) {
        x = at + offset;
        return f();
    };
    auto const slope = [&](double h) {
        return (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h);
    };
    auto const coarse = slope(1e-3);
    auto const middle = slope(2e-4);
    auto const fine = slope(4e-5);
    x = at;
    return std::abs(coarse - middle) < std::abs(middle - fine) ? middle : fine;
}

/// Compares `count` gradient entries with the derivatives of loss() by the values.
template <class F>
GradientReport compare_gradient(std::string const& name, double* values, double const* gradient,
                                index_t count, F const& loss) {
    std::vector<double> measured(static_cast<std::size_t>(count));
    double largest = 1e-6;
    for (index_t i = 0; i < count; ++i) {
        auto& slope = measured[static_cast<std::size_t>(i)];
        slope = derivative(values[i], loss);
        largest = std::max(largest, std::abs(slope));
    }
    GradientReport worst{.error = -1};
    for (index_t i = 0; i < count; ++i) {
        auto const slope = measured[static_cast<std::size_t>(i)];
        worst.include({std::abs(gradient[i] - slope) / largest, name, i, gradient[i], slope});
    }
    return worst;
}

/// The same for every learned parameter of a layer or model.
template <class L, class F>
GradientReport compare_gradients(viewed_params<L, double>& params, viewed_params<L, double>& gradients,
                                 F const& loss) {
    GradientReport worst{.error = -1};
    L::visit(
        [&]<class Tensor>(Info const& info, Tensor& value, Tensor& gradient) {
            if (info.role != Role::state) {
                worst.include(
                    compare_gradient(full_name(info), value.data, gradient.data, Tensor::size, loss));
            }
        },
        params, gradients);
    return worst;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::testing

#endif
