// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_GOLDEN_GOLDEN_CHECKS_HPP
#define DEEPSEEK_TESTS_GOLDEN_GOLDEN_CHECKS_HPP

#include "golden/golden_model.hpp"

// What the five models are asked alike; tolerances are those of the specification, section 9.3.

namespace deepseek_tests {

/// Row 24, and the residual stream first: the layer that differs is then named.
template <class M, class T>
void check_logits(Fixture const& fixture, double tolerance) {
    GoldenModel<M, T> model;
    auto const tokens = fixture.ints("input.tokens");
    auto const rows = fixture.ints("trace.rows");
    model.forward(tokens, tokens, 2, [&](auto& tape) {
        for (index_t layer = 0; layer <= M::layers; ++layer) {
            auto const stream = tape.hidden[static_cast<std::size_t>(layer)];
            std::vector<double> const values(stream.data, stream.data + stream.rows * M::width);
            INFO("residual stream ", layer);
            CHECK(scaled_error(rows_of(values, rows, M::width),
                               fixture.doubles("trace." + std::to_string(layer))) <= tolerance);
        }
    });
    auto const logits = model.logits(tokens, 2);
    auto const expected = fixture.doubles("output.logits");
    CHECK(scaled_error(logits, expected) <= tolerance);
    CHECK(argmax_rows(logits, M::vocabulary) == argmax_rows(expected, M::vocabulary));
    auto const losses = model.losses(tokens, fixture.ints("input.labels"), 2);
    CHECK(losses[0] == doctest::Approx(fixture.scalar("output.loss")).epsilon(tolerance));
}

/// Logits of 200 tokens, beyond YaRN's original context.
template <class M, class T>
void check_long(Fixture const& fixture, double tolerance) {
    GoldenModel<M, T> model;
    auto const logits = model.logits(fixture.ints("long.tokens"), 1);
    CHECK(scaled_error(rows_of(logits, fixture.ints("long.rows"), M::vocabulary),
                       fixture.doubles("long.logits")) <= tolerance);
}

/// Row 26, plain and with recomputation.
template <class M>
void check_gradients(Fixture const& fixture) {
    for (bool const recompute : {false, true}) {
        CAPTURE(recompute);
        GoldenModel<M, double> model;
        auto const losses = model.backward(fixture.ints("input.tokens"), fixture.ints("input.labels"), 2, 0,
                                           {.recompute = recompute});
        CHECK(losses[0] == doctest::Approx(fixture.scalar("output.loss")).epsilon(1e-12));
        check_tensors<M>(fixture, "grad.", "", model.gradients().params(), 1e-9);
    }
}

}  // namespace deepseek_tests

#endif
