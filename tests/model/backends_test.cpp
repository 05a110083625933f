// SPDX-License-Identifier: MIT
// Losses and gradients of whole models are the same on every backend: those of the Cpu are compared with finite
// differences in gradient_test.cpp, the others with the Cpu's.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/emulated.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
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

struct Case {
    char const* name;
    double dropout = 0;
    bool recompute = false;
    bool ignored = false;
    bool documents = false;
};
constexpr Case kCases[] = {{.name = "plain"},
                           {.name = "dropout", .dropout = 0.25},
                           {.name = "recompute", .dropout = 0.25, .recompute = true},
                           {.name = "ignored targets", .ignored = true},
                           {.name = "documents", .documents = true}};

template <class M>
struct Result {
    std::vector<double> losses;  // main, of every MTP depth, balance
    std::vector<double> gradients;
};

// The data of one backward pass, on the host.
template <class M>
struct Inputs {
    std::vector<std::byte> weights =
        std::vector<std::byte>(static_cast<std::size_t>(ds::param_bytes<M, double>));
    std::vector<ds::Token> tokens, targets;
    std::vector<std::int32_t> documents;
    ds::Pass pass{.sequences = 2, .length = 7, .loss_scale = 0.5, .balance_alpha = 0.3};

    explicit Inputs(Case const& options) {
        ds::RandomKey const key{ds::Seed{8}};
        std::uint64_t next = 0;
        ds::viewed_params<M, double> params{};
        ds::bind<M, double>(params, weights.data());
        M::visit(
            [&]<class Tensor>(ds::Info const& info, Tensor& tensor) {
                for (ds::index_t i = 0; i < Tensor::size; ++i) {
                    tensor.data[i] = (info.init == ds::Init::ones ? 1 : 0) + 0.4 * key.normal(next++);
                }
            },
            params);
        for (ds::index_t i = 0; i < pass.rows(); ++i) {
            tokens.push_back(static_cast<ds::Token>(key.bits(next++) % 11));
            auto const target = static_cast<ds::Token>(key.bits(next++) % 11);
            targets.push_back(options.ignored && i % 4 == 1 ? -1 : target);
            if (options.documents) {
                documents.push_back(static_cast<std::int32_t>(i % pass.length / 4));
            }
        }
        pass.recompute = options.recompute;
        pass.random = ds::RandomKey{ds::Seed{2}};
        pass.embedding_dropout = pass.attention_dropout = pass.residual_dropout = options.dropout;
    }

    template <class B>
    Result<M> backward(B& be) const {
        constexpr auto kLosses = static_cast<std::size_t>(M::mtp_depth) + 2;
        ds::Weights<M, double, B> weight_set{be}, gradient_set{be};
        be.copy_from_host(weight_set.data(), weights.data(), weight_set.bytes());
        ds::Buffer<B> sums(be, static_cast<ds::index_t>(kLosses * sizeof(double)));
        be.fill_zero(sums.data(), sums.bytes());
        auto* const losses = reinterpret_cast<double*>(sums.data());
        auto of_backend = pass;
        of_backend.balance_loss = losses + kLosses - 1;
        ds::Arena<B> arena(be);
        ds::Batch const batch{tokens, targets, pass.sequences, pass.length, documents};
        auto tape = M::template forward<double>(be, of_backend, weight_set.view(), batch, arena);
        M::template backward<double>(be, weight_set.view(), tape, gradient_set.params(), 0.6, losses);

        Result<M> result;
        result.losses.resize(kLosses);
        be.copy_to_host(result.losses.data(), losses, sums.bytes());
        result.gradients.resize(weights.size() / sizeof(double));
        be.copy_to_host(result.gradients.data(), gradient_set.data(), gradient_set.bytes());
        return result;
    }
};

// Relative to the largest of a tensor, so that small gradients count. The load of experts is numbers of bits: equal.
template <class M>
void check_equal(Result<M>& given, Result<M>& expected) {
    for (std::size_t i = 0; i < expected.losses.size(); ++i) {
        CHECK(given.losses[i] == doctest::Approx(expected.losses[i]).epsilon(1e-12));
    }
    ds::viewed_params<M, double> a{}, b{};
    ds::bind<M, double>(a, reinterpret_cast<std::byte*>(given.gradients.data()));
    ds::bind<M, double>(b, reinterpret_cast<std::byte*>(expected.gradients.data()));
    M::visit(
        [&]<class Tensor>(ds::Info const& info, Tensor& one, Tensor& other) {
            auto const name = ds::full_name(info);
            CAPTURE(name);
            if (info.role == ds::Role::state) {
                CHECK(std::memcmp(one.data, other.data,
                                  static_cast<std::size_t>(Tensor::size) * sizeof(double)) == 0);
                return;
            }
            double largest = 0, worst = 0;
            for (ds::index_t i = 0; i < Tensor::size; ++i) {
                largest = std::max(largest, std::abs(other.data[i]));
                auto const error = std::abs(one.data[i] - other.data[i]);
                worst = error <= worst || std::isnan(worst) ? worst : error;  // NaN stays
            }
            CHECK(largest > 0);
            CHECK(worst <= 1e-12 * largest);
        },
        a, b);
}

}  // namespace

TEST_CASE_TEMPLATE("Model: losses and gradients on the emulated device are the Cpu's, in any order of calls",
                   M, Untied, Tied, Plain) {
    for (auto const& options : kCases) {
        INFO(std::string(options.name));
        Inputs<M> const inputs(options);
        ds::Cpu cpu{{.threads = 2}};
        auto expected = inputs.backward(cpu);
        for (auto const order : {ds::gpu::Order::backwards, ds::gpu::Order::scattered}) {
            ds::Emulated be{{.order = order}};
            auto given = inputs.backward(be);
            check_equal<M>(given, expected);
        }
    }
}
