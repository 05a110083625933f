// SPDX-License-Identifier: MIT
// labels: unit grad
#include <deepseek/ops/cross_entropy.hpp>
#include <deepseek/testing/gradients.hpp>

#include "ops/backends.hpp"
#include "reference/rows.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace ds = deepseek;
using namespace deepseek_tests;

namespace {

constexpr index_t kRows = 13;
constexpr index_t kVocabulary = 2500;  // two whole blocks and a part of one

// Targets in every block, at the ends of blocks, and one that is ignored.
std::vector<ds::Token> const kTargets{0, 1023, 1024, 2047, 2048, 2499, -1, 7, 512, 1500, 2400, 1, 2};

template <class T>
struct Expected {
    std::vector<double> loss, gradient;

    Expected(Table<T, kVocabulary> const& logits, double scale) : gradient(logits.doubles()) {
        for (std::size_t r = 0; r < kRows; ++r) {
            auto* const row = gradient.data() + r * kVocabulary;
            if (kTargets[r] < 0) {
                loss.push_back(0);
                std::fill(row, row + kVocabulary, 0.0);
                continue;
            }
            auto const target = static_cast<std::size_t>(kTargets[r]);
            auto const log_probabilities = reference::log_softmax(row, kVocabulary);
            loss.push_back(-log_probabilities[target]);
            for (std::size_t i = 0; i < kVocabulary; ++i) {
                row[i] = scale * std::exp(log_probabilities[i]);
            }
            row[target] -= scale;
        }
    }
};

template <class T>
void check(Table<T, kVocabulary> const& logits, double scale) {
    Expected<T> const expected(logits, scale);
    // exponentials within an ulp each, their sum's roundings, and the rounding of a loss as large as 100
    auto const tolerance = rounding<T>(64);
    on_every_backend(
        [&](auto& be) {
            auto gradient = on(be, logits);
            auto loss = on(be, Table<T, 1>(kRows));
            ds::ops::cross_entropy(be, gradient.view(), on(be, kTargets).data(), loss.view(),
                                   static_cast<T>(scale));
            CHECK(difference(loss.back().doubles(), expected.loss) < tolerance);
            CHECK(loss.back().guards_untouched());
            return gradient.back();
        },
        [&](Table<T, kVocabulary> const& gradient) {
            CHECK(difference(gradient.doubles(), expected.gradient) < tolerance);
            CHECK(gradient.guards_untouched());
        });
    on_every_backend(
        [&](auto& be) {
            auto loss = on(be, Table<T, 1>(kRows));
            ds::ops::cross_entropy_loss(be, on(be, logits).view(), on(be, kTargets).data(), loss.view());
            return loss.back();
        },
        [&](Table<T, 1> const& loss) {
            CHECK(difference(loss.doubles(), expected.loss) < tolerance);
            CHECK(loss.guards_untouched());
        });
}

}  // namespace

TEST_CASE_TEMPLATE("cross_entropy: loss and gradient agree with their formulas", T, float, double) {
    for (auto const deviation : {0.01, 1.0, 20.0}) {
        CAPTURE(deviation);
        check(Table<T, kVocabulary>::random(kRows, 1, deviation), 0.5);
    }
}

TEST_CASE_TEMPLATE("cross_entropy: logits far from zero, rising or falling from block to block", T, float,
                   double) {
    auto logits = Table<T, kVocabulary>::random(kRows, 2);
    for (index_t r = 0; r < kRows; ++r) {
        for (index_t i = 0; i < kVocabulary; ++i) {
            auto const slope = r % 3 == 0 ? 0.0 : r % 3 == 1 ? 0.08 : -0.08;
            logits(r, i) += static_cast<T>((r % 2 == 0 ? 0.0 : 1000.0) + slope * static_cast<double>(i));
        }
    }
    check(logits, 1);
}

TEST_CASE_TEMPLATE(
    "cross_entropy: forbidden logits of -infinity have no probability, even a whole block of them", T, float,
    double) {
    auto logits = Table<T, kVocabulary>::random(kRows, 3);
    for (index_t r = 0; r < kRows; ++r) {
        for (index_t i = 0; i < kVocabulary; ++i) {
            bool const block_of_target = i / 1024 == kTargets[static_cast<std::size_t>(r)] / 1024;
            if (!block_of_target || (i % 3 == 0 && i != kTargets[static_cast<std::size_t>(r)])) {
                logits(r, i) = -std::numeric_limits<T>::infinity();
            }
        }
    }
    check(logits, 2);
}

TEST_CASE_TEMPLATE("cross_entropy: a broken row gives NaN, and only that row", T, float, double) {
    auto const infinity = std::numeric_limits<T>::infinity();
    auto const nan = std::numeric_limits<T>::quiet_NaN();
    auto logits = Table<T, kVocabulary>::random(kRows, 4);
    logits(0, 1234) = nan;
    logits(1, 77) = infinity;
    for (index_t i = 0; i < kVocabulary; ++i) {
        logits(2, i) = -infinity;
    }
    for (bool const with_gradient : {true, false}) {
        ds::Cpu cpu{{.threads = 2}};
        auto gradient = logits;
        Table<T, 1> loss(kRows);
        if (with_gradient) {
            ds::ops::cross_entropy(cpu, gradient.view(), kTargets.data(), loss.view(), 1);
        } else {
            ds::ops::cross_entropy_loss(cpu, gradient.view(), kTargets.data(), loss.view());
        }
        for (index_t r = 0; r < kRows; ++r) {
            CAPTURE(r);
            CHECK(std::isnan(loss(r, 0)) == (r < 3));
        }
        CHECK(gradient.guards_untouched());
    }
}

TEST_CASE("cross_entropy: the gradient agrees with finite differences") {
    constexpr index_t vocabulary = 37;
    auto const logits = Table<double, vocabulary>::random(1, 5, 2);
    ds::Token const target = 11;
    ds::Cpu cpu{{.threads = 1}};
    auto gradient = logits;
    Table<double, 1> loss(1);
    ds::ops::cross_entropy(cpu, gradient.view(), &target, loss.view(), 3);
    auto x = logits.doubles();
    auto const report =
        ds::testing::compare_gradient("logits", x.data(), gradient.view().data, vocabulary,
                                      [&] { return -3 * reference::log_softmax(x.data(), vocabulary)[11]; });
    CHECK(report.error < 1e-9);
}

TEST_CASE("cross_entropy: row counts must agree, and no rows are fine") {
    ds::Cpu cpu{{.threads = 1}};
    Table<float, 4> two(2);
    Table<float, 1> three(3);
    ds::Token const targets[2] = {};
    CHECK_THROWS_WITH_AS(ds::ops::cross_entropy(cpu, two.view(), targets, three.view(), 1),
                         "cross_entropy: logits have 2 rows, loss has 3", ds::ShapeError);
    CHECK_THROWS_WITH_AS(ds::ops::cross_entropy_loss(cpu, two.view(), targets, three.view()),
                         "cross_entropy_loss: logits have 2 rows, loss has 3", ds::ShapeError);
    ds::Rows<float, 4> const none{};
    CHECK_NOTHROW(ds::ops::cross_entropy(cpu, none, nullptr, {}, 1));
    CHECK_NOTHROW(ds::ops::cross_entropy_loss(cpu, none, nullptr, {}));
}
