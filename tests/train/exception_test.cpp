// SPDX-License-Identifier: MIT
// What an exception in the middle of a step or an evaluation leaves behind: nothing.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <vector>

namespace ds = deepseek;

namespace {

// Calls of the layer below until one of them throws; 0: none does.
int forwards_left = 0;
int backwards_left = 0;

struct Burnt : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void burn(int& left) {
    if (left > 0 && --left == 0) {
        throw Burnt("the fuse");
    }
}

// A SwiGLU that throws on request.
struct Fuse {
    template <ds::index_t Dim>
    struct bind : ds::detail::swiglu_layer<Dim, 48> {
        using Base = ds::detail::swiglu_layer<Dim, 48>;
        static void forward(auto& be, ds::Pass const& pass, auto const& p, auto x, auto y, auto& saved) {
            burn(forwards_left);
            Base::forward(be, pass, p, x, y, saved);
        }
        static void backward(auto& be, ds::Pass const& pass, auto const& p, auto x, auto& saved, auto dy,
                             auto dx, auto& g) {
            burn(backwards_left);
            Base::backward(be, pass, p, x, saved, dy, dx, g);
        }
    };
};

using Attention = ds::MLA<32, 4, 12, 16, 4, 8, 8>;
using M = ds::Model<ds::Vocabulary<64>, ds::Blocks<1, Attention, Fuse>,
                    ds::Blocks<1, Attention, ds::MoE<8, 2, 32, 32>>, ds::MTP<1>>;
using Weights = ds::Weights<M, float, ds::Cpu>;
using Trainer = ds::Trainer<M, float, ds::Cpu>;
using Report = ds::StepReport<1>;

struct Run {
    ds::Cpu cpu{{.threads = 2}};
    Weights weights{cpu};
    Trainer trainer{cpu, weights, {.schedule = {.peak = 1e-2, .total = 10}, .residual_dropout = 0.1}};
    std::vector<ds::Token> text = std::vector<ds::Token>(65);
    std::array<ds::Batch, 2> batches;

    Run() {
        ds::initialize(cpu, weights, ds::Seed{1});
        for (std::size_t i = 0; i < text.size(); ++i) {
            text[i] = static_cast<ds::Token>(ds::RandomKey{ds::Seed{2}}.bits(i) % 64);
        }
        std::span const all(text);
        batches = {ds::Batch{all.first(32), all.subspan(1, 32), 2, 16},
                   ds::Batch{all.subspan(32, 32), all.last(32), 2, 16}};
    }

    std::vector<std::byte> state() {
        std::vector<std::byte> bytes;
        for (auto const* const set : {&weights, &trainer.first_moment(), &trainer.second_moment()}) {
            bytes.insert(bytes.end(), set->data(), set->data() + set->bytes());
        }
        return bytes;
    }
};

void check_equal(Report const& a, Report const& b) {
    CHECK(a.step == b.step);
    CHECK(a.losses.main == b.losses.main);
    CHECK(a.losses.mtp == b.losses.mtp);
    CHECK(a.losses.balance == b.losses.balance);
    CHECK(a.norm == b.norm);
}

// Two runs of three steps, one of which is disturbed between the first and the second.
void check_undisturbed(std::function<void(Run&)> const& disturb) {
    Run quiet, disturbed;
    check_equal(quiet.trainer.step(quiet.batches), disturbed.trainer.step(disturbed.batches));
    auto const before = disturbed.state();
    disturb(disturbed);
    CHECK(disturbed.state() == before);
    CHECK(disturbed.trainer.progress().step == 1);
    CHECK(disturbed.trainer.progress().updates == 1);
    CHECK(disturbed.trainer.progress().tokens == 64);
    CHECK(disturbed.trainer.expert_load() == quiet.trainer.expert_load());
    auto const a = quiet.trainer.evaluate(quiet.batches);
    auto const b = disturbed.trainer.evaluate(disturbed.batches);
    CHECK(a.main == b.main);
    CHECK(a.mtp == b.mtp);
    CHECK(a.balance == b.balance);
    for (int step = 0; step < 2; ++step) {
        check_equal(quiet.trainer.step(quiet.batches), disturbed.trainer.step(disturbed.batches));
        CHECK(disturbed.trainer.expert_load() == quiet.trainer.expert_load());
    }
    CHECK(disturbed.state() == quiet.state());
    CHECK(disturbed.trainer.progress().tokens == quiet.trainer.progress().tokens);
    CHECK(disturbed.trainer.activation_bytes() == quiet.trainer.activation_bytes());
}

}  // namespace

TEST_CASE("Trainer: a step that ends with an exception in its second micro-batch never happened") {
    SUBCASE("forward") {
        check_undisturbed([](Run& run) {
            forwards_left = 2;
            CHECK_THROWS_AS(run.trainer.step(run.batches), Burnt);
        });
    }
    SUBCASE("backward") {
        check_undisturbed([](Run& run) {
            backwards_left = 2;
            CHECK_THROWS_AS(run.trainer.step(run.batches), Burnt);
        });
    }
    SUBCASE("a token outside the vocabulary") {
        check_undisturbed([](Run& run) {
            auto batches = run.batches;
            std::vector<ds::Token> tokens(batches[1].tokens.begin(), batches[1].tokens.end());
            tokens[5] = 64;
            batches[1].tokens = tokens;
            CHECK_THROWS_AS(run.trainer.step(batches), ds::Error);
        });
    }
}

TEST_CASE("Trainer: an evaluation that ends with an exception in its second batch never happened") {
    check_undisturbed([](Run& run) {
        forwards_left = 2;
        CHECK_THROWS_AS(run.trainer.evaluate(run.batches), Burnt);
    });
}
