// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>
#include <deepseek/testing/gradients.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace ds = deepseek;

namespace {

using Attention = ds::MLA<8, 2, 4, 3, 2, 4, 4>;
using Feed = ds::MoE<4, 2, 3, 5, ds::Routing{.scale = 1.5}>;
using Untied = ds::Model<ds::Vocabulary<11>, ds::Blocks<1, Attention, ds::SwiGLU<6>>,
                         ds::Blocks<2, Attention, Feed>, ds::MTP<2>>;
using Tied = ds::Model<ds::Vocabulary<11>, ds::Blocks<2, Attention, Feed>, ds::MTP<1>,
                       ds::Options<ds::ModelOptions{.tied_head = true}>>;
using Plain = ds::Model<ds::Vocabulary<11>, ds::Blocks<1, Attention, ds::SwiGLU<6>>>;

template <class M>
struct Fixture {
    ds::Cpu cpu{{.threads = 2}};
    ds::Weights<M, double, ds::Cpu> weights{cpu};
    ds::Weights<M, double, ds::Cpu> gradients{cpu};
    std::vector<ds::Token> tokens, targets;
    ds::Batch batch;
    ds::Pass pass{.sequences = 2, .length = 7, .loss_scale = 0.5, .balance_alpha = 0.3};
    double mtp_weight = 0.6;

    Fixture() {
        ds::RandomKey const key{ds::Seed{8}};
        std::uint64_t next = 0;
        M::visit(
            [&]<class Tensor>(ds::Info const& info, Tensor& tensor) {
                for (ds::index_t i = 0; i < Tensor::size; ++i) {
                    tensor.data[i] = (info.init == ds::Init::ones ? 1 : 0) + 0.4 * key.normal(next++);
                }
            },
            weights.params());
        for (ds::index_t i = 0; i < pass.rows(); ++i) {
            tokens.push_back(static_cast<ds::Token>(key.bits(next++) % 11));
            targets.push_back(static_cast<ds::Token>(key.bits(next++) % 11));
        }
        batch = {tokens, targets, pass.sequences, pass.length};
    }

    double loss() {
        std::array<double, 4> sums{};
        auto const scope = cpu.scratch().scope();
        ds::Arena<ds::Cpu> arena(cpu);
        pass.balance_loss = &sums[3];
        auto tape = M::template forward<double>(cpu, pass, weights.view(), batch, arena);
        M::template loss<double>(cpu, weights.view(), tape, sums.data());
        double total = sums[0] + sums[3];
        for (ds::index_t k = 1; k <= M::mtp_depth; ++k) {
            total += mtp_weight / static_cast<double>(M::mtp_depth) * sums[static_cast<std::size_t>(k)];
        }
        return total;
    }

    std::array<double, 4> backward() {
        std::array<double, 4> sums{};
        ds::Arena<ds::Cpu> arena(cpu);
        pass.balance_loss = &sums[3];
        auto tape = M::template forward<double>(cpu, pass, weights.view(), batch, arena);
        M::template backward<double>(cpu, weights.view(), tape, gradients.params(), mtp_weight, sums.data());
        return sums;
    }
};

}  // namespace

TEST_CASE_TEMPLATE("Model: every gradient agrees with finite differences", M, Untied, Tied, Plain) {
    Fixture<M> fixture;
    fixture.backward();
    auto const report = ds::testing::compare_gradients<M>(
        fixture.weights.params(), fixture.gradients.params(), [&] { return fixture.loss(); });
    CAPTURE(report.tensor);
    CAPTURE(report.entry);
    CAPTURE(report.given);
    CAPTURE(report.measured);
    CHECK(report.error < 1e-7);
}

TEST_CASE("Model: every gradient agrees with finite differences under dropout") {
    Fixture<Untied> fixture;
    fixture.pass.random = ds::RandomKey{ds::Seed{2}};
    fixture.pass.embedding_dropout = fixture.pass.attention_dropout = fixture.pass.residual_dropout = 0.25;
    fixture.backward();
    auto const report = ds::testing::compare_gradients<Untied>(
        fixture.weights.params(), fixture.gradients.params(), [&] { return fixture.loss(); });
    CAPTURE(report.tensor);
    CHECK(report.error < 1e-7);
}

TEST_CASE_TEMPLATE("Model: every gradient agrees with finite differences where targets are ignored", M,
                   Untied, Tied, Plain) {
    Fixture<M> fixture;
    for (std::size_t const i : {0, 3, 4, 12, 13}) {
        fixture.targets[i] = i % 2 == 0 ? -100 : -1;
    }
    fixture.backward();
    auto const report = ds::testing::compare_gradients<M>(
        fixture.weights.params(), fixture.gradients.params(), [&] { return fixture.loss(); });
    CAPTURE(report.tensor);
    CHECK(report.error < 1e-7);
}

TEST_CASE("Model: a batch in which no target counts has losses and gradients of 0") {
    Fixture<Untied> fixture;
    fixture.targets.assign(fixture.targets.size(), -1);
    fixture.batch.targets = fixture.targets;
    CHECK(fixture.backward() == std::array<double, 4>{});
    auto const* const bytes = fixture.gradients.data();
    CHECK(
        std::all_of(bytes, bytes + fixture.gradients.bytes(), [](std::byte b) { return b == std::byte{}; }));
}

TEST_CASE("Model: recomputing blocks changes no bit of losses and gradients") {
    Fixture<Untied> kept;
    Fixture<Untied> recomputed;
    recomputed.pass.recompute = true;
    CHECK(kept.backward() == recomputed.backward());
    Untied::visit(
        [&]<class Tensor>(ds::Info const& info, Tensor& a, Tensor& b) {
            CAPTURE(ds::full_name(info));
            CHECK(std::equal(a.data, a.data + Tensor::size, b.data));
        },
        kept.gradients.params(), recomputed.gradients.params());
}

TEST_CASE("Model: backward reports the losses that loss() reports") {
    Fixture<Untied> fixture;
    auto const sums = fixture.backward();
    double const total = sums[0] + sums[3] + fixture.mtp_weight / 2 * (sums[1] + sums[2]);
    CHECK(total == doctest::Approx(fixture.loss()).epsilon(1e-14));
}

TEST_CASE("Model: gradients are the same bits for one, two and three threads") {
    auto const run = [](int threads) {
        ds::Cpu cpu{{.threads = threads}};
        ds::Weights<Untied, float, ds::Cpu> weights{cpu}, gradients{cpu};
        ds::initialize(cpu, weights, ds::Seed{1});
        Fixture<Untied> const data;
        std::array<double, 4> sums{};
        ds::Arena<ds::Cpu> arena(cpu);
        auto pass = data.pass;
        pass.balance_loss = &sums[3];
        auto tape = Untied::forward<float>(cpu, pass, weights.view(), data.batch, arena);
        Untied::backward<float>(cpu, weights.view(), tape, gradients.params(), 0.3, sums.data());
        return std::vector<std::byte>(gradients.data(), gradients.data() + gradients.bytes());
    };
    auto const one = run(1);
    CHECK(one == run(2));
    CHECK(one == run(3));
}

TEST_CASE("Model: a batch that does not fit the pass is refused") {
    Fixture<Untied> fixture;
    ds::Arena<ds::Cpu> arena(fixture.cpu);
    auto batch = fixture.batch;
    batch.tokens = batch.tokens.first(13);
    CHECK_THROWS_AS(Untied::forward<double>(fixture.cpu, fixture.pass, fixture.weights.view(), batch, arena),
                    ds::ShapeError);
    fixture.pass.length = 2;  // not longer than the MTP depth
    fixture.batch.length = 2;
    CHECK_THROWS_AS(
        Untied::forward<double>(fixture.cpu, fixture.pass, fixture.weights.view(), fixture.batch, arena),
        ds::ShapeError);
}
