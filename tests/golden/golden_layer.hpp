// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_GOLDEN_GOLDEN_LAYER_HPP
#define DEEPSEEK_TESTS_GOLDEN_GOLDEN_LAYER_HPP

#include <deepseek/core/buffer.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/view.hpp>

#include "golden/golden_model.hpp"

#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace deepseek_tests {

/// One layer with golden weights, one sequence. `prefix` is where the layer stands in a model: "model.layers.0.mlp.".
template <class L, class T>
class GoldenLayer {
public:
    explicit GoldenLayer(std::string_view prefix, int bias_set = 0)
        : weights_(cpu_, deepseek::param_bytes<L, T>),
          gradient_bytes_(cpu_, deepseek::param_bytes<L, T>),
          arena_(cpu_),
          prefix_(prefix) {
        deepseek::bind<L, T>(params, weights_.data());
        deepseek::bind<L, T>(gradients, gradient_bytes_.data());
        cpu_.fill_zero(gradient_bytes_.data(), gradient_bytes_.bytes());
        fill_golden_set<L>(prefix_, params, bias_set);
    }

    deepseek::viewed_params<L, T> params{};
    deepseek::viewed_params<L, T> gradients{};
    std::vector<double> y;   ///< of the last run
    std::vector<double> dx;  ///< of the last run with dy

    deepseek::Cpu& cpu() { return cpu_; }

    /// Forward, and backward where dy is given.
    void run(std::vector<T> x, std::vector<T> dy = {}) {
        auto const rows = static_cast<index_t>(x.size()) / L::width;
        deepseek::Pass const pass{.sequences = 1, .length = rows};
        auto const scope = arena_.scope();
        auto saved = deepseek::take_set<L::template Saved, T>(arena_, rows);
        // What a layer writes must not depend on what was there.
        std::vector<T> out(x.size(), std::numeric_limits<T>::quiet_NaN());
        L::forward(cpu_, pass, params, view(x), view(out), saved);
        y.assign(out.begin(), out.end());
        if (!dy.empty()) {
            std::vector<T> gradient(x.size(), std::numeric_limits<T>::quiet_NaN());
            L::backward(cpu_, pass, params, view(x), saved, view(dy), view(gradient), gradients);
            dx.assign(gradient.begin(), gradient.end());
        }
    }

    void check_gradients(Fixture const& fixture, std::string const& group, double tolerance) {
        check_tensors<L>(fixture, group, prefix_, gradients, tolerance);
    }

private:
    static deepseek::Rows<T, L::width> view(std::vector<T>& values) {
        return {values.data(), static_cast<index_t>(values.size()) / L::width, L::width};
    }

    deepseek::Cpu cpu_{{.threads = 1}};
    deepseek::Buffer<deepseek::Cpu> weights_;
    deepseek::Buffer<deepseek::Cpu> gradient_bytes_;
    deepseek::Arena<deepseek::Cpu> arena_;
    std::string prefix_;
};

}  // namespace deepseek_tests

#endif
