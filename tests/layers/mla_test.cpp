// SPDX-License-Identifier: MIT
#include <deepseek/layers/mla.hpp>
#include <deepseek/testing/check_layer.hpp>

#include "support/each_backend.hpp"
#include "support/placed.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace ds = deepseek;
using deepseek_tests::on;
using deepseek_tests::on_each_backend;

namespace {

constexpr ds::MLAOptions kBiased{.rope = {.interleaved = false}, .bias = true};
constexpr ds::MLAOptions kYarn{
    .rope = {.yarn = {.factor = 4, .original_length = 16, .mscale = 1, .mscale_all_dim = 1}}};

using Compressed = ds::MLA<16, 2, 6, 5>;
using Direct = ds::MLA<16, 2, 6>;
using Uneven = ds::MLA<12, 3, 5, 0, 2, 3, 6>;  // values wider than keys
using Biased = ds::MLA<16, 2, 6, 5, 4, 8, 8, kBiased>;
using Yarn = ds::MLA<16, 2, 6, 5, 4, 6, 8, kYarn>;

// Random parameters of a layer.
template <class L>
struct Parameters {
    std::vector<double> memory = std::vector<double>(ds::param_bytes<L, double> / sizeof(double));
    ds::viewed_params<L, double> view{};

    Parameters() {
        ds::bind<L, double>(view, reinterpret_cast<std::byte*>(memory.data()));
        ds::RandomKey const key{ds::Seed{3}};
        std::uint64_t next = 0;
        L::visit(
            [&]<class Tensor>(ds::Info const& info, Tensor& tensor) {
                for (ds::index_t i = 0; i < Tensor::size; ++i) {
                    tensor.data[i] = (info.init == ds::Init::ones ? 1 : 0) + 0.4 * key.normal(next++);
                }
            },
            view);
    }
};

std::vector<double> numbers(ds::index_t count, std::uint64_t seed) {
    std::vector<double> all(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i] = ds::RandomKey{ds::Seed{seed}}.normal(i);
    }
    return all;
}

double largest_difference(std::vector<double> const& a, std::vector<double> const& b) {
    REQUIRE(a.size() == b.size());
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        auto const error = std::abs(a[i] - b[i]);
        worst = error <= worst || std::isnan(worst) ? worst : error;  // NaN stays
    }
    return worst;
}

// A layer with its parameters in a backend's memory, and what is computed there.
template <class L, class B>
struct Fixture {
    B& be;
    deepseek_tests::PlacedVector<double, B> memory;
    ds::viewed_params<L, double> params{};
    ds::Arena<B> arena{be};

    Fixture(B& be, Parameters<L> const& parameters) : be(be), memory(on(be, parameters.memory)) {
        ds::bind<L, double>(params, reinterpret_cast<std::byte*>(memory.data()));
    }
    // Of rows of x given at once.
    std::vector<double> forward(std::vector<double> const& x) {
        auto const tokens = static_cast<ds::index_t>(x.size()) / L::width;
        auto in = on(be, x);
        auto out = on(be, std::vector<double>(x.size()));
        auto const scope = arena.scope();
        auto saved = ds::take_set<L::template Saved, double>(arena, tokens);
        L::forward(be, ds::Pass{.length = tokens}, params, ds::Rows<double, L::width>{in.data(), tokens},
                   ds::Rows<double, L::width>{out.data(), tokens}, saved);
        return out.back();
    }
    // Of `first` rows at once, and then of one after the other.
    std::vector<double> extend(std::vector<double> const& x, ds::index_t first) {
        auto const tokens = static_cast<ds::index_t>(x.size()) / L::width;
        auto in = on(be, x);
        auto out = on(be, std::vector<double>(x.size()));
        ds::Rows<double, L::width> const from{in.data(), tokens}, to{out.data(), tokens};
        auto const scope = arena.scope();
        auto cache = ds::take_set<L::template Cache, double>(arena, tokens);
        for (ds::index_t begin = 0; begin < tokens;) {
            auto const count = begin == 0 ? first : 1;
            ds::Pass const pass{.length = count, .position = begin};
            L::extend(be, pass, params, from.slice(begin, count), to.slice(begin, count), cache);
            begin += count;
        }
        return out.back();
    }
};

template <class L>
void check_extend(ds::index_t first) {
    on_each_backend([&](auto& be) {
        Fixture fixture(be, Parameters<L>());
        auto const x = numbers(40 * L::width, 4);
        CHECK(largest_difference(fixture.forward(x), fixture.extend(x, first)) < 1e-12);
    });
}

}  // namespace

TEST_CASE_TEMPLATE("MLA: gradients agree with finite differences", L, Compressed, Direct, Uneven, Biased,
                   Yarn) {
    on_each_backend([](auto& be) {
        auto const report = ds::testing::check_layer<L>(be, {.pass = {.sequences = 2, .length = 9}});
        CAPTURE(report.tensor);
        CAPTURE(report.entry);
        CHECK(report.error < 1e-7);
    });
}

TEST_CASE("MLA: gradients agree with finite differences under attention dropout") {
    on_each_backend([](auto& be) {
        auto const report =
            ds::testing::check_layer<Compressed>(be, {.pass = {.sequences = 2,
                                                               .length = 9,
                                                               .attention_dropout = 0.3,
                                                               .random = ds::RandomKey{ds::Seed{7}}}});
        CAPTURE(report.tensor);
        CHECK(report.error < 1e-7);
    });
}

TEST_CASE_TEMPLATE("MLA: decode agrees with forward at every position", L, Compressed, Direct, Uneven, Biased,
                   Yarn) {
    check_extend<L>(1);   // absorbed form from the first token on
    check_extend<L>(23);  // a prompt in the expanded form, then absorbed
}

TEST_CASE("MLA: interleaved weights permuted to half-split give the same output") {
    using Interleaved = ds::MLA<16, 2, 6, 5>;
    using Half = ds::MLA<16, 2, 6, 5, 4, 8, 8, ds::MLAOptions{.rope = {.interleaved = false}}>;
    Parameters<Interleaved> const a;
    Parameters<Half> b;  // the same values so far
    constexpr int kPermutation[] = {0, 2, 1, 3};
    for (int j = 0; j < 4; ++j) {
        for (int head = 0; head < 2; ++head) {
            auto const* const from = a.view.q_up.weight.row(head * 12 + 8 + kPermutation[j]);
            std::copy(from, from + 5, b.view.q_up.weight.row(head * 12 + 8 + j));
        }
        auto const* const from = a.view.kv_down.weight.row(6 + kPermutation[j]);
        std::copy(from, from + 16, b.view.kv_down.weight.row(6 + j));
    }
    on_each_backend([&](auto& be) {
        Fixture one(be, a);
        Fixture other(be, b);
        auto const x = numbers(12 * 16, 5);
        CHECK(largest_difference(one.forward(x), other.forward(x)) < 1e-12);
    });
}
