// SPDX-License-Identifier: MIT
// A layer of your own, outside the library: a feed-forward network with squared ReLU (So et al. 2021), two matrices
// where SwiGLU has three. The contract it follows stands in <deepseek/core/layer.hpp>.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/emulated.hpp>
#include <deepseek/model.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/testing/check_layer.hpp>

#include <cstdio>
#include <span>
#include <string_view>
#include <vector>

namespace ds = deepseek;

// Functions of one element are structs, so that a backend can carry them to where it computes.
struct Square {
    template <class T>
    DEEPSEEK_HD T operator()(T v) const {
        return v > 0 ? v * v : T(0);
    }
};
struct SquareGradient {
    template <class T>
    DEEPSEEK_HD T operator()(T v, T d) const {
        return v > 0 ? 2 * v * d : T(0);
    }
};

// A spec: a block binds it to the width of its attention, and that is the layer. It owns nothing.
template <ds::index_t Hidden>
struct SquaredReLU {
    template <ds::index_t Dim>
    struct bind {
        static constexpr ds::index_t width = Dim;

        template <class Slot>
        struct Params {  // what it learns
            ds::param<Slot, Hidden, Dim> up;
            ds::param<Slot, Dim, Hidden> down;
        };
        template <class Slot>
        struct Saved {  // what backward needs of every token
            ds::rows<Slot, Hidden> before;
        };
        // One line per tensor: its name in files, and how it starts. Counting, saving, training: all come from here.
        static constexpr void visit(auto&& f, auto&... set) {
            f(ds::Info{.name = "up_proj.weight"}, set.up...);
            f(ds::Info{.name = "down_proj.weight", .init = ds::Init::scaled_normal}, set.down...);
        }

        // Writes all of y and of saved.
        static void forward(auto& be, ds::Pass const&, auto const& p, auto x, auto y, auto& saved) {
            auto const scope = be.scratch().scope();  // temporary memory, given back at the end of the scope
            auto act = be.scratch().template rows<typename decltype(y)::element, Hidden>(x.rows);
            ds::ops::matmul_nt(be, saved.before, x, p.up);  // [tokens, Hidden]
            ds::ops::transform(be, act, Square{}, saved.before);
            ds::ops::matmul_nt(be, y, act, p.down);  // [tokens, Dim]
        }

        // Writes all of dx, adds to g.
        static void backward(auto& be, ds::Pass const&, auto const& p, auto x, auto& saved, auto dy, auto dx,
                             auto& g) {
            using T = typename decltype(dx)::element;
            auto const scope = be.scratch().scope();
            auto act = be.scratch().template rows<T, Hidden>(x.rows);
            auto dact = be.scratch().template rows<T, Hidden>(x.rows);
            ds::ops::transform(be, act, Square{}, saved.before);  // again: cheaper than keeping it
            ds::ops::matmul_tn(be, g.down, dy, act);
            ds::ops::matmul_nn(be, dact, dy, p.down);
            ds::ops::transform(be, dact, SquareGradient{}, saved.before, dact);
            ds::ops::matmul_tn(be, g.up, dact, x);
            ds::ops::matmul_nn(be, dx, dact, p.up);
        }
    };
};
static_assert(ds::Spec<SquaredReLU<16>>);
static_assert(ds::every_member_visited<SquaredReLU<16>::bind<8>>());

using Model = ds::Model<ds::Vocabulary<256>, ds::Blocks<2, ds::MLA<64, 4, 32>, SquaredReLU<192>>>;
static_assert(ds::param_count<SquaredReLU<192>::bind<64>> == 2 * 64 * 192);

int main() {
    // The check every layer of the library passes too: gradients against finite differences in double precision, and
    // the contract (everything written, gradients added, the same bits twice).
    ds::Cpu cpu;
    auto const report = ds::testing::check_layer<SquaredReLU<16>::bind<8>>(cpu);
    std::printf("gradients agree with finite differences: %s\n", report.error < 1e-8 ? "yes" : "no");

    // And on a GPU that the host plays: its memory faults where the host touches it, so this layer is ready for a device.
    ds::Emulated device;
    auto const there = ds::testing::check_layer<SquaredReLU<16>::bind<8>>(device);
    std::printf("on an emulated device, too: %s\n", there.error < 1e-8 ? "yes" : "no");

    // And it trains inside a model like any other.
    std::string_view const text = "The quick brown fox jumps over a lazy dog.";
    std::vector<ds::Token> const all(text.begin(), text.end());
    std::span const tokens(all);
    auto const length = static_cast<ds::index_t>(all.size()) - 1;
    ds::Batch const batch{tokens.first(all.size() - 1), tokens.subspan(1), 1, length};
    ds::Weights<Model, float, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    ds::Trainer trainer{cpu, weights, {.schedule = {.peak = 1e-2, .warmup = 10, .total = 100}}};
    double loss = 0;
    for (int step = 0; step < 100; ++step) {
        loss = trainer.step({&batch, 1}).losses.main;
    }
    std::printf("a model of it learns a sentence by heart: %s\n", loss < 0.01 ? "yes" : "no");
}
