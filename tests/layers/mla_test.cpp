// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/layers/mla.hpp>
#include <deepseek/testing/check_layer.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace ds = deepseek;

namespace {

constexpr ds::MLAOptions kBiased{.rope = {.interleaved = false}, .bias = true};
constexpr ds::MLAOptions kYarn{
    .rope = {.yarn = {.factor = 4, .original_length = 16, .mscale = 1, .mscale_all_dim = 1}}};

using Compressed = ds::MLA<16, 2, 6, 5>;
using Direct = ds::MLA<16, 2, 6>;
using Uneven = ds::MLA<12, 3, 5, 0, 2, 3, 6>;  // values wider than keys
using Biased = ds::MLA<16, 2, 6, 5, 4, 8, 8, kBiased>;
using Yarn = ds::MLA<16, 2, 6, 5, 4, 6, 8, kYarn>;

// Random parameters and a layer's output for rows of x given at once.
template <class L>
struct Fixture {
    ds::Cpu cpu{{.threads = 2}};
    std::vector<double> memory;
    ds::viewed_params<L, double> params{};

    Fixture() : memory(static_cast<std::size_t>(ds::param_bytes<L, double>) / sizeof(double)) {
        ds::bind<L, double>(params, reinterpret_cast<std::byte*>(memory.data()));
        ds::RandomKey const key{ds::Seed{3}};
        std::uint64_t next = 0;
        L::visit(
            [&]<class Tensor>(ds::Info const& info, Tensor& tensor) {
                for (ds::index_t i = 0; i < Tensor::size; ++i) {
                    tensor.data[i] = (info.init == ds::Init::ones ? 1 : 0) + 0.4 * key.normal(next++);
                }
            },
            params);
    }
};

template <class L>
void check_extend(ds::index_t first) {
    constexpr ds::index_t kTokens = 40;
    Fixture<L> fixture;
    auto& cpu = fixture.cpu;
    ds::RandomKey const key{ds::Seed{4}};
    std::vector<double> x(kTokens * L::width), y(x.size()), z(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = key.normal(i);
    }
    using Wide = ds::Rows<double, L::width>;
    Wide const in{x.data(), kTokens}, whole{y.data(), kTokens}, steps{z.data(), kTokens};

    ds::Arena<ds::Cpu> arena(cpu);
    auto saved = ds::take_set<L::template Saved, double>(arena, kTokens);
    L::forward(cpu, ds::Pass{.length = kTokens}, fixture.params, in, whole, saved);

    auto cache = ds::take_set<L::template Cache, double>(arena, kTokens);
    for (ds::index_t begin = 0; begin < kTokens;) {
        auto const count = begin == 0 ? first : 1;
        ds::Pass const pass{.length = count, .position = begin};
        L::extend(cpu, pass, fixture.params, in.slice(begin, count), steps.slice(begin, count), cache);
        begin += count;
    }
    double worst = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        worst = std::max(worst, std::abs(y[i] - z[i]));
    }
    CHECK(worst < 1e-12);
}

}  // namespace

TEST_CASE_TEMPLATE("MLA: gradients agree with finite differences", L, Compressed, Direct, Uneven, Biased,
                   Yarn) {
    ds::Cpu cpu{{.threads = 2}};
    auto const report = ds::testing::check_layer<L>(cpu, {.pass = {.sequences = 2, .length = 9}});
    CAPTURE(report.tensor);
    CAPTURE(report.entry);
    CHECK(report.error < 1e-7);
}

TEST_CASE("MLA: gradients agree with finite differences under attention dropout") {
    ds::Cpu cpu{{.threads = 2}};
    auto const report = ds::testing::check_layer<Compressed>(
        cpu,
        {.pass = {
             .sequences = 2, .length = 9, .attention_dropout = 0.3, .random = ds::RandomKey{ds::Seed{7}}}});
    CAPTURE(report.tensor);
    CHECK(report.error < 1e-7);
}

TEST_CASE_TEMPLATE("MLA: decode agrees with forward at every position", L, Compressed, Direct, Uneven, Biased,
                   Yarn) {
    check_extend<L>(1);   // absorbed form from the first token on
    check_extend<L>(23);  // a prompt in the expanded form, then absorbed
}

TEST_CASE("MLA: interleaved weights permuted to half-split give the same output") {
    using Interleaved = ds::MLA<16, 2, 6, 5>;
    using Half = ds::MLA<16, 2, 6, 5, 4, 8, 8, ds::MLAOptions{.rope = {.interleaved = false}}>;
    Fixture<Interleaved> a;
    Fixture<Half> b;  // the same values so far
    constexpr int kPermutation[] = {0, 2, 1, 3};
    for (int j = 0; j < 4; ++j) {
        for (int head = 0; head < 2; ++head) {
            auto const* const from = a.params.q_up.weight.row(head * 12 + 8 + kPermutation[j]);
            std::copy(from, from + 5, b.params.q_up.weight.row(head * 12 + 8 + j));
        }
        auto const* const from = a.params.kv_down.weight.row(6 + kPermutation[j]);
        std::copy(from, from + 16, b.params.kv_down.weight.row(6 + j));
    }
    constexpr ds::index_t kTokens = 12;
    std::vector<double> x(kTokens * 16), y(x.size()), z(x.size());
    ds::RandomKey const key{ds::Seed{5}};
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = key.normal(i);
    }
    ds::Arena<ds::Cpu> arena(a.cpu);
    ds::Rows<double, 16> const in{x.data(), kTokens}, out{y.data(), kTokens}, other{z.data(), kTokens};
    auto saved = ds::take_set<Interleaved::Saved, double>(arena, kTokens);
    Interleaved::forward(a.cpu, ds::Pass{.length = kTokens}, a.params, in, out, saved);
    auto saved_half = ds::take_set<Half::Saved, double>(arena, kTokens);
    Half::forward(a.cpu, ds::Pass{.length = kTokens}, b.params, in, other, saved_half);
    for (std::size_t i = 0; i < y.size(); ++i) {
        CHECK(y[i] == doctest::Approx(z[i]).epsilon(1e-12));
    }
}
