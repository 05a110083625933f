// SPDX-License-Identifier: MIT
// Eigen: weights, activations and logits are Eigen matrices without a copy, so a layer, a sampler or a loss of your own
// can be written as its formula.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/eigen.hpp>
#include <deepseek/model.hpp>
#include <deepseek/testing/check_layer.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ds = deepseek;

// The layer of 06_custom_layer.cpp: y = relu(x · upᵀ)² · downᵀ, and its gradients. Products of Eigen take memory of their
// own and one thread; ds::ops::matmul_nt takes neither.
template <ds::index_t Hidden>
struct SquaredReLU {
    template <ds::index_t Dim>
    struct bind {
        static constexpr ds::index_t width = Dim;

        template <class Slot>
        struct Params {
            ds::param<Slot, Hidden, Dim> up;
            ds::param<Slot, Dim, Hidden> down;
        };
        template <class Slot>
        struct Saved {
            ds::rows<Slot, Hidden> relu;
        };
        static constexpr void visit(auto&& f, auto&... set) {
            f(ds::Info{.name = "up_proj.weight"}, set.up...);
            f(ds::Info{.name = "down_proj.weight", .init = ds::Init::scaled_normal}, set.down...);
        }

        static void forward(auto&, ds::Pass const&, auto const& p, auto x, auto y, auto& saved) {
            auto relu = ds::eigen(saved.relu);
            relu = (ds::eigen(x) * ds::eigen(p.up).transpose()).cwiseMax(0);
            ds::eigen(y) = relu.cwiseAbs2() * ds::eigen(p.down).transpose();
        }
        static void backward(auto&, ds::Pass const&, auto const& p, auto x, auto& saved, auto dy, auto dx,
                             auto& g) {
            auto const relu = ds::eigen(saved.relu);
            auto const d = (2 * relu.array() * (ds::eigen(dy) * ds::eigen(p.down)).array()).matrix().eval();
            ds::eigen(g.down) += ds::eigen(dy).transpose() * relu.cwiseAbs2();
            ds::eigen(g.up) += d.transpose() * ds::eigen(x);
            ds::eigen(dx) = d * ds::eigen(p.up);
        }
    };
};

using Model = ds::Model<ds::Vocabulary<256>, ds::Blocks<2, ds::MLA<64, 4, 32>, SquaredReLU<192>>>;

// A sampler is any function of logits and history: this one never repeats the last three tokens.
ds::Token no_repeats(std::span<float const> logits, std::span<ds::Token const> history) {
    Eigen::VectorXf allowed = ds::eigen(logits);
    for (auto const token : history.last(std::min<std::size_t>(history.size(), 3))) {
        allowed[token] = -HUGE_VALF;
    }
    Eigen::Index best = 0;
    allowed.maxCoeff(&best);
    return static_cast<ds::Token>(best);
}

// A loss from logits: log(sum of e^x) - x[target].
double surprise(std::span<float const> logits, ds::Token target) {
    auto const x = ds::eigen(logits).cast<double>().array();
    return std::log((x - x.maxCoeff()).exp().sum()) + x.maxCoeff() - x[target];
}

int main() {
    ds::Cpu cpu;
    auto const report = ds::testing::check_layer<SquaredReLU<16>::bind<8>>(cpu);
    std::printf("gradients agree with finite differences: %s\n", report.error < 1e-8 ? "yes" : "no");

    std::string_view const text = "a quick fox jumps over two lazy dogs.";
    std::vector<ds::Token> const all(text.begin(), text.end());
    std::span const tokens(all);
    auto const length = static_cast<ds::index_t>(all.size()) - 1;
    ds::Batch const batch{tokens.first(all.size() - 1), tokens.subspan(1), 1, length};
    ds::Weights<Model, float, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    ds::Trainer trainer{cpu, weights, {.schedule = {.peak = 1e-2, .warmup = 10, .total = 100}}};
    for (int step = 0; step < 100; ++step) {
        trainer.step({&batch, 1});
    }

    ds::Session session{cpu, weights};
    std::vector<ds::Token> said{'a'};
    ds::generate(session, no_repeats, said, {.max_new = length}, [](ds::Token) {});
    std::printf("%s\n", std::string(said.begin(), said.end()).c_str());

    session.truncate(0);
    double loss = 0;
    session.score(batch.tokens, [&](ds::index_t i, std::span<float const> logits) {
        loss += surprise(logits, batch.targets[static_cast<std::size_t>(i)]) / static_cast<double>(length);
    });
    auto const same = trainer.evaluate({&batch, 1}).main;
    std::printf("the loss is the trainer's: %s\n", std::abs(loss - same) < 1e-5 ? "yes" : "no");
}
