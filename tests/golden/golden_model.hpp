// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_GOLDEN_GOLDEN_MODEL_HPP
#define DEEPSEEK_TESTS_GOLDEN_GOLDEN_MODEL_HPP

#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/arena.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/model/model.hpp>
#include <deepseek/model/weights.hpp>

#include "golden/golden.hpp"
#include "golden/golden_weights.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deepseek_tests {

using deepseek::Token;

inline std::vector<Token> to_tokens(std::vector<index_t> const& values) {
    return {values.begin(), values.end()};
}

/// Calls f(name in files, values, rows, columns) for every tensor that a layer or model L visits, experts one by one.
template <class L, class Set, class F>
void for_tensors(std::string_view prefix, Set& set, F const& f) {
    L::visit(
        [&]<class Tensor>(deepseek::Info const& info, Tensor& tensor) {
            auto const rows = Tensor::rows / info.parts;
            for (index_t part = 0; part < info.parts; ++part) {
                f(info, std::string(prefix) + deepseek::full_name(info, part),
                  std::span(tensor.data + part * rows * Tensor::cols,
                            static_cast<std::size_t>(rows * Tensor::cols)),
                  rows, Tensor::cols);
            }
        },
        set);
}

/// Fills every tensor of a layer or model by the formula.
template <class L, class Set>
void fill_golden_set(std::string_view prefix, Set& set, int bias_set = 0) {
    for_tensors<L>(prefix, set,
                   [&](deepseek::Info const&, std::string const& name, auto values, index_t, index_t) {
                       fill_golden(name, values, bias_set);
                   });
}

/// Compares tensors (gradients, trained weights) with those a fixture has under `group`: vectors whole, matrices as
/// sketches, router biases not at all. Every tensor of the fixture must have its partner. Tensors that the fixture
/// has not are an error if `all`.
template <class L, class Set>
void check_tensors(Fixture const& fixture, std::string const& group, std::string_view prefix, Set& set,
                   double tolerance, bool all = true) {
    std::size_t compared = 0;
    for_tensors<L>(
        prefix, set,
        [&](deepseek::Info const& info, std::string const& name, auto values, index_t rows, index_t cols) {
            if (info.role == deepseek::Role::state) {
                return;
            }
            INFO(group, name);
            if (!fixture.has(group + name)) {
                CHECK_FALSE_MESSAGE(all, "not in the fixture");
                return;
            }
            auto const actual = cols == 1 ? std::vector<double>(values.begin(), values.end())
                                          : golden_sketch(values.data(), rows, cols);
            CHECK(relative_error(actual, fixture.doubles(group + name)) <= tolerance);
            ++compared;
        });
    CHECK(compared == fixture.names(group).size());
}

/// A model with golden weights on a Cpu of its own, run as training runs it.
template <class M, class T>
class GoldenModel {
public:
    static constexpr auto depth = static_cast<std::size_t>(M::mtp_depth);
    /// Main loss, then that of every MTP depth.
    using Losses = std::array<double, depth + 1>;

    explicit GoldenModel(int bias_set = 0) : weights_(cpu_), gradients_(cpu_), arena_(cpu_) {
        fill_golden_set<M>("", weights_.params(), bias_set);
    }

    deepseek::Cpu& cpu() { return cpu_; }
    deepseek::Weights<M, T, deepseek::Cpu>& weights() { return weights_; }
    deepseek::Weights<M, T, deepseek::Cpu>& gradients() { return gradients_; }

    /// Forward pass over [sequences, length] tokens, then f(tape).
    template <class F>
    void forward(std::vector<index_t> const& tokens, std::vector<index_t> const& labels, index_t sequences,
                 F const& f, deepseek::Pass pass = {}) {
        auto const inputs = to_tokens(tokens);
        auto const targets = to_tokens(labels);
        pass.sequences = sequences;
        pass.length = static_cast<index_t>(tokens.size()) / sequences;
        auto const scope = arena_.scope();
        auto tape = M::template forward<T>(cpu_, pass, weights_.view(),
                                           {inputs, targets, pass.sequences, pass.length}, arena_);
        f(tape);
    }

    /// Logits [rows, vocabulary] of the main model (depth 0) or of an MTP depth.
    std::vector<double> logits(std::vector<index_t> const& tokens, index_t sequences,
                               std::size_t of_depth = 0) {
        std::vector<double> values;
        forward(tokens, tokens, sequences, [&](auto& tape) {
            auto const output = tape.output_of(of_depth);
            auto const scope = cpu_.scratch().scope();
            auto const out = cpu_.scratch().template rows<T, M::vocabulary>(output.rows);
            M::logits(cpu_, weights_.view(), out, output);
            values.assign(out.data, out.data + out.rows * M::vocabulary);
        });
        return values;
    }

    Losses losses(std::vector<index_t> const& tokens, std::vector<index_t> const& labels, index_t sequences) {
        Losses values{};
        forward(tokens, labels, sequences,
                [&](auto& tape) { M::template loss<T>(cpu_, weights_.view(), tape, values.data()); });
        return values;
    }

    /// Losses; adds to gradients().
    Losses backward(std::vector<index_t> const& tokens, std::vector<index_t> const& labels, index_t sequences,
                    double mtp_weight = 0, deepseek::Pass const& pass = {}) {
        Losses values{};
        forward(
            tokens, labels, sequences,
            [&](auto& tape) {
                M::template backward<T>(cpu_, weights_.view(), tape, gradients_.params(), mtp_weight,
                                        values.data());
            },
            pass);
        return values;
    }

private:
    deepseek::Cpu cpu_{{.threads = 1}};
    deepseek::Weights<M, T, deepseek::Cpu> weights_;
    deepseek::Weights<M, T, deepseek::Cpu> gradients_;
    deepseek::Arena<deepseek::Cpu> arena_;
};

/// Rows of a row-major matrix.
inline std::vector<double> rows_of(std::vector<double> const& matrix, std::vector<index_t> const& rows,
                                   index_t cols) {
    std::vector<double> picked;
    for (auto const row : rows) {
        auto const begin = matrix.begin() + row * cols;
        picked.insert(picked.end(), begin, begin + cols);
    }
    return picked;
}

/// Index of the largest entry of every row.
inline std::vector<std::ptrdiff_t> argmax_rows(std::vector<double> const& matrix, index_t cols) {
    std::vector<std::ptrdiff_t> best;
    for (auto row = matrix.begin(); row != matrix.end(); row += cols) {
        best.push_back(std::max_element(row, row + cols) - row);
    }
    return best;
}

}  // namespace deepseek_tests

#endif
