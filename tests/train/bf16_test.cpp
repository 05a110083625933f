// SPDX-License-Identifier: MIT
// Training that computes in bf16 and learns in float.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace ds = deepseek;

namespace {

using Attention = ds::MLA<32, 4, 12, 16, 4, 8, 8>;
using M = ds::Model<ds::Vocabulary<64>, ds::Blocks<1, Attention, ds::SwiGLU<64>>,
                    ds::Blocks<1, Attention, ds::MoE<8, 2, 32, 32>>, ds::MTP<1>>;
constexpr ds::TrainOptions kOptions{.schedule = {.peak = 5e-3, .warmup = 5, .total = 60}};

// Text that is easy to predict, but for every fourth token.
struct Data {
    std::vector<ds::Token> text = std::vector<ds::Token>(129);
    std::array<ds::Batch, 2> batches;
    std::uint64_t drawn = 0;

    std::array<ds::Batch, 2> const& next() {
        ds::RandomKey const key{ds::Seed{3}};
        for (std::size_t i = 0; i < text.size(); ++i) {
            text[i] =
                i % 4 == 0 ? static_cast<ds::Token>(key.bits(drawn++) % 32) : (text[i - 1] * 5 + 7) % 64;
        }
        std::span const all(text);
        batches = {ds::Batch{all.first(64), all.subspan(1, 64), 2, 32},
                   ds::Batch{all.subspan(64, 64), all.last(64), 2, 32}};
        return batches;
    }
};

struct Curve {
    std::vector<double> losses;
    std::vector<float> weights;
    double evaluated = 0;
};

template <class Compute>
Curve train(int threads, int steps) {
    ds::Cpu cpu{{.threads = threads}};
    ds::Weights<M, float, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    ds::Trainer<M, Compute, ds::Cpu> trainer{cpu, weights, kOptions};
    Data data;
    Curve curve;
    for (int step = 0; step < steps; ++step) {
        curve.losses.push_back(trainer.step(data.next()).losses.main);
    }
    curve.evaluated = trainer.evaluate(data.next()).main;
    auto const* const first = reinterpret_cast<float const*>(weights.data());
    curve.weights.assign(first, first + weights.bytes() / 4);
    return curve;
}

double mean(std::vector<double> const& losses, std::size_t begin, std::size_t end) {
    double sum = 0;
    for (auto i = begin; i < end; ++i) {
        sum += losses[i];
    }
    return sum / static_cast<double>(end - begin);
}

}  // namespace

// Products are sums of up to 96 terms that are rounded to 8 bits one by one, and to 8 bits again: a loss is wrong by some
// tenths of a percent, and steps that differ that much lead to weights that differ in their effect as little.
TEST_CASE("Trainer: the losses of computing in bf16 follow those of float") {
    auto const narrow = train<ds::bf16>(2, 60);
    auto const exact = train<float>(2, 60);
    CHECK(narrow.losses != exact.losses);
    for (std::size_t step = 0; step < 60; step += 10) {
        auto const expected = mean(exact.losses, step, step + 10);
        CHECK(mean(narrow.losses, step, step + 10) == doctest::Approx(expected).epsilon(0.003));
    }
    CHECK(mean(exact.losses, 50, 60) < 0.5 * exact.losses.front());  // there was something to follow
    CHECK(narrow.evaluated == doctest::Approx(exact.evaluated).epsilon(0.01));
}

TEST_CASE("Trainer: weights that are computed with in bf16 are learned in float") {
    static_assert(std::is_same_v<ds::Trainer<M, ds::bf16, ds::Cpu>::Master, float>);
    static_assert(std::is_same_v<ds::Trainer<M, double, ds::Cpu>::Master, double>);
    auto const curve = train<ds::bf16>(1, 3);
    std::size_t finer = 0;
    for (auto const weight : curve.weights) {
        finer += weight != ds::convert<float>(ds::bf16(weight));
    }
    CHECK(finer > curve.weights.size() / 2);
}

TEST_CASE("Trainer: in bf16, too, runs are the same bits for one, two and three threads") {
    auto const one = train<ds::bf16>(1, 6);
    for (int const threads : {1, 2, 3}) {
        auto const other = train<ds::bf16>(threads, 6);
        CHECK(other.losses == one.losses);
        CHECK(other.weights == one.weights);
    }
}
