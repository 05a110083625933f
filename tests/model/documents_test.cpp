// SPDX-License-Identifier: MIT
// labels: unit grad
// Several documents in a sequence: each is as if it were alone.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/model.hpp>
#include <deepseek/testing/gradients.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ds = deepseek;

namespace {

using Attention = ds::MLA<8, 2, 4, 3, 2, 4, 4>;
using Feed = ds::MoE<4, 2, 3, 5, ds::Routing{.scale = 1.5}>;
using M = ds::Model<ds::Vocabulary<11>, ds::Blocks<1, Attention, ds::SwiGLU<6>>,
                    ds::Blocks<1, Attention, Feed>, ds::MTP<2>>;
using Weights = ds::Weights<M, double, ds::Cpu>;
constexpr double kMtpWeight = 0.6;

// Sequences of documents of some lengths.
struct Packed {
    std::vector<std::vector<ds::index_t>> lengths;
    std::vector<ds::Token> tokens, targets;
    std::vector<std::int32_t> documents;

    explicit Packed(std::vector<std::vector<ds::index_t>> const& of) : lengths(of) {
        ds::RandomKey const key{ds::Seed{8}};
        std::uint64_t next = 0;
        for (auto const& sequence : lengths) {
            std::int32_t number = 5;
            for (auto const length : sequence) {
                for (ds::index_t i = 0; i < length; ++i) {
                    tokens.push_back(static_cast<ds::Token>(key.bits(next++) % 11));
                    targets.push_back(static_cast<ds::Token>(key.bits(next++) % 11));
                    documents.push_back(number);
                }
                number += 3;
            }
        }
    }
    ds::Batch batch() const {
        auto const count = static_cast<ds::index_t>(lengths.size());
        return {tokens, targets, count, static_cast<ds::index_t>(tokens.size()) / count, documents};
    }
    std::vector<ds::Batch> apart() const {
        std::vector<ds::Batch> batches;
        std::size_t at = 0;
        for (auto const& sequence : lengths) {
            for (auto const length : sequence) {
                auto const count = static_cast<std::size_t>(length);
                batches.push_back(
                    {std::span(tokens).subspan(at, count), std::span(targets).subspan(at, count), 1, length});
                at += count;
            }
        }
        return batches;
    }
};

struct Run {
    ds::Cpu cpu{{.threads = 2}};
    Weights weights{cpu};
    Weights gradients{cpu};
    std::array<double, 4> sums{};  // main, MTP, balance

    Run() {
        ds::RandomKey const key{ds::Seed{9}};
        std::uint64_t next = 0;
        M::visit(
            [&]<class Tensor>(ds::Info const& info, Tensor& tensor) {
                for (ds::index_t i = 0; i < Tensor::size; ++i) {
                    tensor.data[i] = (info.init == ds::Init::ones ? 1 : 0) + 0.4 * key.normal(next++);
                }
            },
            weights.params());
    }

    ds::Pass pass_of(ds::Batch const& batch, double share) {
        return {.sequences = batch.sequences,
                .length = batch.length,
                .loss_scale = share,
                .balance_alpha = 0.3,
                .balance_loss = &sums[3]};
    }
    void backward(ds::Batch const& batch, ds::Pass const& pass) {
        ds::Arena<ds::Cpu> arena(cpu);
        auto tape = M::forward<double>(cpu, pass, weights.view(), batch, arena);
        M::backward<double>(cpu, weights.view(), tape, gradients.params(), kMtpWeight, sums.data());
    }
    double loss(ds::Batch const& batch, ds::Pass const& pass) {
        ds::Arena<ds::Cpu> arena(cpu);
        sums = {};
        auto tape = M::forward<double>(cpu, pass, weights.view(), batch, arena);
        M::loss<double>(cpu, weights.view(), tape, sums.data());
        return sums[0] + sums[3] + kMtpWeight / 2 * (sums[1] + sums[2]);
    }
};

// The largest difference of two gradients, relative to the largest entry of each tensor.
double difference(Run& a, Run& b) {
    double worst = 0;
    M::visit(
        [&]<class Tensor>(ds::Info const& info, Tensor& x, Tensor& y) {
            double largest = 1e-6;
            double distance = 0;
            for (ds::index_t i = 0; i < Tensor::size; ++i) {
                if (info.role == ds::Role::state) {
                    CHECK(ds::count_in(x.data[i]) == ds::count_in(y.data[i]));
                } else {
                    largest = std::max(largest, std::abs(y.data[i]));
                    distance = std::max(distance, std::abs(x.data[i] - y.data[i]));
                }
            }
            worst = std::max(worst, distance / largest);
        },
        a.gradients.params(), b.gradients.params());
    return worst;
}

void check_as_if_apart(Packed const& data, bool recompute) {
    Run packed, apart;
    auto pass = packed.pass_of(data.batch(), 1);
    pass.balance_alpha = 0;  // whose sequence is not the document
    pass.recompute = recompute;
    packed.backward(data.batch(), pass);
    for (auto const& batch : data.apart()) {
        auto const share = static_cast<double>(ds::counted_targets(batch)) /
                           static_cast<double>(ds::counted_targets(data.batch()));
        auto own = apart.pass_of(batch, share);
        own.balance_alpha = 0;
        apart.backward(batch, own);
    }
    for (std::size_t k = 0; k < 3; ++k) {
        CAPTURE(k);
        CHECK(std::abs(packed.sums[k] - apart.sums[k]) <= 1e-13 * apart.sums[k]);
    }
    CHECK(difference(packed, apart) < 1e-12);
}

}  // namespace

TEST_CASE("documents: losses, gradients and loads are those of the documents as sequences of their own") {
    bool recompute = false;
    SUBCASE("kept") {}
    SUBCASE("recomputed") { recompute = true; }
    check_as_if_apart(Packed({{4, 9, 3}, {16}, {3, 3, 10}}), recompute);
    Packed ignored({{4, 9, 3}, {8, 8}});
    for (std::size_t const i : {0, 5, 6, 12, 15, 16, 31}) {
        ignored.targets[i] = -1;
    }
    check_as_if_apart(ignored, recompute);
}

TEST_CASE("documents: every gradient agrees with finite differences, also where documents are short") {
    Packed const data({{1, 4, 2}, {1, 1, 5}});  // MTP has nothing to predict in most
    Run run;
    auto const pass = run.pass_of(data.batch(), 0.5);
    run.backward(data.batch(), pass);
    auto const report = ds::testing::compare_gradients<M>(run.weights.params(), run.gradients.params(),
                                                          [&] { return run.loss(data.batch(), pass); });
    CAPTURE(report.tensor);
    CHECK(report.error < 1e-7);
}

TEST_CASE("documents: one document for every sequence changes no bit") {
    Packed const data({{12}, {12}});
    auto plain = data.batch();
    plain.documents = {};
    Run a, b;
    a.backward(data.batch(), a.pass_of(data.batch(), 1));
    b.backward(plain, b.pass_of(plain, 1));
    CHECK(a.sums[0] == b.sums[0]);
    CHECK(std::equal(a.gradients.data(), a.gradients.data() + a.gradients.bytes(), b.gradients.data()));
}
