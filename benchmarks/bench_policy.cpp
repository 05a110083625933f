// SPDX-License-Identifier: MIT
// Every kernel of backend/cpu/measured/ beside what Eigen makes of the same, on one thread: what backend/cpu/policy.hpp
// decides by. Names read
//
//   <what>/<own or eigen>/<extents>
//
// Compare medians of interleaved repetitions:
//   bench_policy --benchmark_enable_random_interleaving=true --benchmark_repetitions=9
//       --benchmark_report_aggregates_only=true --benchmark_min_time=0.05
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/attention.hpp>
#include <deepseek/ops/arguments/latent_attention.hpp>

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace deepseek;

template <class T>
std::vector<T> numbers(index_t count) {
    std::vector<T> all(static_cast<std::size_t>(count));
    RandomKey const key{Seed{static_cast<std::uint64_t>(count)}};
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i] = convert<T>(key.normal(i % 65'536));
    }
    return all;
}

// Runs f on a Cpu of one thread.
template <class F>
void add(std::string const& name, F const& make) {
    benchmark::RegisterBenchmark(name.c_str(), [make](benchmark::State& state) {
        Cpu be{{.threads = 1}};
        auto work = make(be);
        work();
        for (auto _ : state) {
            work();
            benchmark::ClobberMemory();
        }
    });
}

template <class T>
char const* name_of() {
    return std::is_same_v<T, double> ? "f64" : std::is_same_v<T, bf16> ? "bf16" : "f32";
}

// kind: nt, nn or tn, as y = x · wᵀ, dx = dy · w, dw += dyᵀ · x.
template <class T, class W, class A = T>
void add_product(index_t m, index_t n, index_t k, std::string const& kind) {
    bool const transpose_a = kind[0] == 't';
    bool const transpose_b = kind[1] == 't';
    auto const what = message("product ", name_of<A>(), " by ", name_of<W>(), "/");
    auto const extents = message("/", kind, " ", m, "x", n, "x", k);
    auto const make = [=](bool own) {
        return [=](Cpu& be) {
            return [=, &be, a = numbers<A>(m * k), b = numbers<W>(n * k),
                    c = std::vector<T>(static_cast<std::size_t>(m * n))]() mutable {
                cpu::Product<T, A, W> const product{{c.data(), m, n, n},
                                                    {a.data(), transpose_a ? m : k, !transpose_a},
                                                    {b.data(), transpose_b ? k : n, transpose_b},
                                                    k,
                                                    transpose_a};
                auto& workspace = be.pool().workspace(0);
                Strided<A const> const a_view{a.data(), transpose_a ? k : m, transpose_a ? m : k,
                                              transpose_a ? m : k};
                Strided<W const> const b_view{b.data(), transpose_b ? n : k, transpose_b ? k : n,
                                              transpose_b ? k : n};
                if (!own) {
                    cpu::multiply_by_eigen(product, workspace);
                } else if constexpr (std::is_same_v<A, bf16>) {
                    cpu::gemm(be.pool(), product.c, a_view, transpose_a, b_view, transpose_b, product.add);
                } else if (cpu::measured::has_few_rows(product)) {
                    cpu::measured::multiply_few(product);
                } else {
                    constexpr auto kTile = cpu::measured::kTileCols<T>;
                    for (index_t j = 0; j < n; j += kTile) {
                        auto const cols = n - j < kTile ? n - j : kTile;
                        cpu::measured::multiply_packed(product.tile(0, m, j, cols), workspace);
                    }
                }
            };
        };
    };
    add(what + "own" + extents, make(true));
    add(what + "eigen" + extents, make(false));
}

template <class T, class W>
void add_linear(index_t tokens, index_t in, index_t out) {
    add_product<T, W>(tokens, out, in, "nt");
    if constexpr (std::is_same_v<T, W>) {
        add_product<T, W>(tokens, in, out, "nn");
        add_product<T, W>(out, in, tokens, "tn");
    }
}

template <class T>
void add_attention(index_t sequences, index_t length, index_t heads, index_t nope, index_t rope,
                   index_t value) {
    AttentionShape shape{};
    shape.sequences = sequences;
    shape.scale = 1 / std::sqrt(static_cast<double>(nope + rope));
    shape.length_q = shape.length_k = length;
    shape.heads = heads;
    shape.nope = nope;
    shape.rope = rope;
    shape.value = value;
    auto const tokens = sequences * length;
    auto const make = [=](bool own, bool backward) {
        return [=](Cpu& be) {
            auto const rows = [=](index_t width) { return numbers<T>(tokens * width); };
            return [=, &be, q = rows(heads * (nope + rope)), kv = rows(heads * (nope + value)),
                    kr = rows(rope), out = rows(heads * value), dout = rows(heads * value), lse = rows(heads),
                    dq = rows(heads * (nope + rope)), dkv = rows(heads * (nope + value)), dkr = rows(rope),
                    first = true]() mutable {
                auto const at = [=](auto& all) {
                    auto const width = static_cast<index_t>(all.size()) / tokens;
                    return Strided<T>{all.data(), tokens, width, width};
                };
                auto const in = [=](auto& all) { return Strided<T const>(at(all)); };
                if (!backward || first) {
                    own ? cpu::measured::attention<T>(be.pool(), at(out), at(lse), in(q), in(kv), in(kr),
                                                      shape)
                        : cpu::attention_by_eigen<T>(be.pool(), at(out), at(lse), in(q), in(kv), in(kr),
                                                     shape);
                    first = false;
                }
                if (backward) {
                    own ? cpu::measured::attention_backward<T>(be.pool(), be.scratch(), at(dq), at(dkv),
                                                               at(dkr), in(dout), in(out), in(lse), in(q),
                                                               in(kv), in(kr), shape)
                        : cpu::attention_backward_by_eigen<T>(be.pool(), be.scratch(), at(dq), at(dkv),
                                                              at(dkr), in(dout), in(out), in(lse), in(q),
                                                              in(kv), in(kr), shape);
                }
            };
        };
    };
    auto const extents =
        message("/", sequences, "x", length, " heads ", heads, " of ", nope, "+", rope, ", ", value);
    for (bool const backward : {false, true}) {
        auto const what = message(backward ? "attention backward " : "attention ", name_of<T>(), "/");
        add(what + "own" + extents, make(true, backward));
        add(what + "eigen" + extents, make(false, backward));
    }
}

void add_decode(index_t tokens, index_t positions, index_t heads, index_t rank, index_t nope, index_t rope,
                index_t value) {
    LatentShape const shape{tokens, positions, heads, rank, nope, rope, 0.1};
    HeadProducts const absorb{tokens, heads, nope, nope + rope, rank, rank, nope + value, 0};
    auto const make_latent = [=](bool own) {
        return [=](Cpu& be) {
            return [=, &be, context = numbers<float>(tokens * heads * rank),
                    q_latent = numbers<float>(tokens * heads * rank),
                    q = numbers<float>(tokens * heads * (nope + rope)),
                    latent = numbers<float>(positions * rank),
                    key = numbers<float>(positions * rope)]() mutable {
                auto const at = [](auto& all, index_t rows) {
                    auto const width = static_cast<index_t>(all.size()) / rows;
                    return Strided<float>{all.data(), rows, width, width};
                };
                Strided<float const> const ql = at(q_latent, tokens), qs = at(q, tokens),
                                           latents = at(latent, positions), keys = at(key, positions);
                own ? cpu::measured::latent_attention<float, float>(
                          be.pool(), be.scratch(), at(context, tokens), ql, qs, latents, keys, shape)
                    : cpu::latent_attention_by_eigen<float, float>(
                          be.pool(), be.scratch(), at(context, tokens), ql, qs, latents, keys, shape);
            };
        };
    };
    auto const make_absorb = [=](bool own) {
        return [=](Cpu& be) {
            return [=, &be, out = numbers<float>(tokens * heads * rank),
                    in = numbers<float>(tokens * heads * (nope + rope)),
                    weight = numbers<float>(heads * (nope + value) * rank)]() mutable {
                Strided<float> const to{out.data(), tokens, heads * rank, heads * rank};
                Strided<float const> const from{in.data(), tokens, heads * (nope + rope),
                                                heads * (nope + rope)};
                Strided<float const> const w{weight.data(), heads * (nope + value), rank, rank};
                own ? cpu::measured::head_products_nn<float, float>(be.pool(), to, from, w, absorb)
                    : cpu::head_products_by_eigen<float, float>(be.pool(), to, from, w, false, absorb);
            };
        };
    };
    auto const extents = message("/", tokens, " of ", positions, " heads ", heads, " rank ", rank);
    add("latent attention/own" + extents, make_latent(true));
    add("latent attention/eigen" + extents, make_latent(false));
    add("absorb query/own" + extents, make_absorb(true));
    add("absorb query/eigen" + extents, make_absorb(false));
}

}  // namespace

int main(int argc, char** argv) {
    for (auto const& [in, out] : {std::pair<index_t, index_t>{512, 192}, {512, 2048}, {256, 704}}) {
        add_linear<float, float>(1024, in, out);
        add_linear<double, double>(1024, in, out);
        add_linear<float, bf16>(256, in, out);
        add_product<float, bf16, bf16>(1024, out, in, "nt");
        add_product<float, bf16, bf16>(1024, in, out, "nn");
        add_product<float, bf16, bf16>(out, in, 1024, "tn");
    }
    for (index_t const rows : {1, 4, 16}) {
        add_product<float, float>(rows, 2048, 512, "nt");
        add_product<float, bf16>(rows, 2048, 512, "nt");
    }
    add_attention<float>(4, 256, 8, 32, 32, 32);
    add_attention<float>(1, 1024, 8, 32, 32, 32);
    add_attention<float>(1, 1024, 16, 128, 64, 128);
    add_attention<double>(4, 256, 8, 32, 32, 32);
    add_decode(1, 1024, 8, 128, 32, 32, 32);
    add_decode(1, 4096, 16, 512, 128, 64, 128);
    add_decode(4, 1024, 8, 128, 32, 32, 32);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    benchmark::RunSpecifiedBenchmarks();
}
