// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_REFERENCE_ROWS_HPP
#define DEEPSEEK_TESTS_REFERENCE_ROWS_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

// The operations on rows as their formulas stand in papers: plain loops over doubles, one row after the other.

namespace reference {

using Numbers = std::vector<double>;

inline Numbers rms_norm(Numbers const& x, Numbers const& gain, double epsilon) {
    auto const width = gain.size();
    Numbers y(x.size());
    for (std::size_t row = 0; row < x.size(); row += width) {
        double squares = 0;
        for (std::size_t c = 0; c < width; ++c) {
            squares += x[row + c] * x[row + c];
        }
        for (std::size_t c = 0; c < width; ++c) {
            y[row + c] = gain[c] * x[row + c] / std::sqrt(squares / static_cast<double>(width) + epsilon);
        }
    }
    return y;
}

inline double silu(double u) { return u / (1 + std::exp(-u)); }

inline Numbers swiglu(Numbers const& gate, Numbers const& up) {
    Numbers act(gate.size());
    for (std::size_t i = 0; i < act.size(); ++i) {
        act[i] = silu(gate[i]) * up[i];
    }
    return act;
}

/// x - log(sum of e^x): logarithms of probabilities. Taken relative to the largest, so that no digits are lost.
inline Numbers log_softmax(double const* x, std::size_t count) {
    double top = x[0];
    for (std::size_t i = 0; i < count; ++i) {
        top = std::fmax(top, x[i]);
    }
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
        sum += std::exp(x[i] - top);
    }
    Numbers result(x, x + count);
    for (auto& value : result) {
        value = (value - top) - std::log(sum);
    }
    return result;
}

/// Turns the pair (a, b) by an angle.
inline void turn(double& a, double& b, double angle) {
    auto const turned = a * std::cos(angle) - b * std::sin(angle);
    b = a * std::sin(angle) + b * std::cos(angle);
    a = turned;
}

/// One parameter through torch.optim.AdamW's step t (from 1).
struct AdamW {
    double rate, beta1, beta2, epsilon, weight_decay;
    double first = 0;
    double second = 0;

    double step(double weight, double gradient, int t) {
        weight -= rate * weight_decay * weight;
        first = beta1 * first + (1 - beta1) * gradient;
        second = beta2 * second + (1 - beta2) * gradient * gradient;
        auto const first_hat = first / (1 - std::pow(beta1, t));
        auto const second_hat = second / (1 - std::pow(beta2, t));
        return weight - rate * first_hat / (std::sqrt(second_hat) + epsilon);
    }
};

}  // namespace reference

#endif
