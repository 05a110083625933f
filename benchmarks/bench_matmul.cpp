// SPDX-License-Identifier: MIT
// Matrix products at the shapes of a model of 100 M parameters and of one of width 256, beside what Eigen, OpenBLAS
// and oneDNN make of them where they are installed. Names read
//
//   matmul/<who>/<type of b>/<nt: y = x wᵀ, nn: dx = dy w, tn: dw += dyᵀ x>/m:…/n:…/k:…/threads:…
//
// and `of_peak` is the fraction of what multiply-adds on registers alone reach with as many threads; for products of
// few rows, `of_read` the fraction of the speed at which the memory of b can be read.
//
// Neighbours in time are not neighbours in load: on a shared machine, compare medians of interleaved repetitions,
// --benchmark_enable_random_interleaving=true --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
#include <deepseek/backend/cpu/gemm.hpp>
#include <deepseek/backend/cpu/measured/simd.hpp>
#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/view.hpp>

#include "machine.hpp"
#include <benchmark/benchmark.h>
#if defined(DEEPSEEK_HAVE_EIGEN)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12 says so of its own AVX-512 intrinsics
#endif
#include <Eigen/Core>
#endif
#if defined(DEEPSEEK_HAVE_OPENBLAS)
#include <cblas.h>
#endif
#if defined(DEEPSEEK_HAVE_DNNL)
#include <dlfcn.h>
#include <dnnl.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace deepseek;

struct Shape {
    index_t m, n, k;
    char const* kind;  // of nt, nn, tn

    bool transpose_a() const { return kind[0] == 't'; }
    bool transpose_b() const { return kind[1] == 't'; }
    bool add() const { return transpose_a(); }  // gradients of weights accumulate
    double flops() const {
        return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    }
};

template <class W>
struct Problem {
    explicit Problem(Shape const& shape)
        : s(shape),
          a_elements(static_cast<std::size_t>(s.m * s.k)),
          b_elements(static_cast<std::size_t>(s.n * s.k)),
          c_elements(static_cast<std::size_t>(s.m * s.n)),
          c{c_elements.data(), s.m, s.n, s.n},
          a{a_elements.data(), s.transpose_a() ? s.k : s.m, s.transpose_a() ? s.m : s.k,
            s.transpose_a() ? s.m : s.k},
          b{b_elements.data(), s.transpose_b() ? s.n : s.k, s.transpose_b() ? s.k : s.n,
            s.transpose_b() ? s.k : s.n} {
        for (std::size_t i = 0; i < a_elements.size(); ++i) {
            a_elements[i] = static_cast<float>(i % 17) - 8;
        }
        for (std::size_t i = 0; i < b_elements.size(); ++i) {
            b_elements[i] = W(static_cast<float>(i % 13) - 6);
        }
    }
    Problem(Problem const&) = delete;
    Problem& operator=(Problem const&) = delete;

    Shape s;
    std::vector<float> a_elements;
    std::vector<W> b_elements;
    std::vector<float> c_elements;
    Strided<float> c;
    Strided<float const> a;
    Strided<W const> b;
};

template <class W>
void measure(benchmark::State& state, Shape const& shape, int threads, auto const& prepare) {
    Problem<W> problem(shape);
    auto const multiply = prepare(problem, threads);
    multiply();  // pages, scratch memory, threads
    for (auto _ : state) {
        multiply();
        benchmark::ClobberMemory();
    }
    auto const done = static_cast<double>(state.iterations());
    using benchmark::Counter;
    state.counters["FLOP/s"] = Counter(done * shape.flops(), Counter::kIsRate);
    state.counters["of_peak"] =
        Counter(done * shape.flops() / deepseek_benchmarks::peak_flops(threads), Counter::kIsRate);
    if (shape.m <= 16 && !shape.transpose_a()) {
        auto const bytes = static_cast<double>(shape.n * shape.k) * sizeof(W);
        state.counters["bytes/s"] = Counter(done * bytes, Counter::kIsRate, Counter::kIs1024);
        state.counters["of_read"] =
            Counter(done * bytes / deepseek_benchmarks::read_bytes(threads), Counter::kIsRate);
    }
}

auto const ours = [](auto& problem, int threads) {
    return [&problem, pool = std::make_shared<cpu::Pool>(threads)] {
        auto const& p = problem;
        cpu::gemm(*pool, p.c, p.a, p.s.transpose_a(), p.b, p.s.transpose_b(), p.s.add());
    };
};

#if defined(DEEPSEEK_HAVE_EIGEN)
using EigenMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Eigen on rows [row, row + rows) of c. It has no threads of its own without OpenMP.
void eigen_rows(Problem<float> const& p, index_t row, index_t rows) {
    Eigen::Map<EigenMatrix const> const a(p.a.data, p.a.rows, p.a.cols);
    Eigen::Map<EigenMatrix const> const b(p.b.data, p.b.rows, p.b.cols);
    Eigen::Map<EigenMatrix> c(p.c.row(row), rows, p.c.cols);
    if (p.s.transpose_a()) {
        c.noalias() += a.middleCols(row, rows).transpose() * b;
    } else if (p.s.transpose_b()) {
        c.noalias() = a.middleRows(row, rows) * b.transpose();
    } else {
        c.noalias() = a.middleRows(row, rows) * b;
    }
}

// The same for columns.
void eigen_cols(Problem<float> const& p, index_t col, index_t cols) {
    Eigen::Map<EigenMatrix const> const a(p.a.data, p.a.rows, p.a.cols);
    Eigen::Map<EigenMatrix const> const b(p.b.data, p.b.rows, p.b.cols);
    Eigen::Map<EigenMatrix> all(p.c.data, p.c.rows, p.c.cols);
    auto c = all.middleCols(col, cols);
    if (p.s.transpose_a()) {
        c.noalias() += a.transpose() * b.middleCols(col, cols);
    } else if (p.s.transpose_b()) {
        c.noalias() = a * b.middleRows(col, cols).transpose();
    } else {
        c.noalias() = a * b.middleCols(col, cols);
    }
}

auto const eigen = [](Problem<float>& problem, int threads) {
    return [&problem, threads, pool = std::make_shared<cpu::Pool>(threads)] {
        bool const by_rows = problem.s.m >= problem.s.n;
        auto const extent = by_rows ? problem.s.m : problem.s.n;
        auto const part = threads == 1 ? extent : std::min<index_t>(256, ceil_div(extent, 2 * threads));
        pool->run(ceil_div(extent, part), [&](index_t task) {
            auto const count = std::min(part, extent - task * part);
            by_rows ? eigen_rows(problem, task * part, count) : eigen_cols(problem, task * part, count);
        });
    };
};
#endif

#if defined(DEEPSEEK_HAVE_OPENBLAS)
auto const openblas = [](Problem<float>& problem, int threads) {
    openblas_set_num_threads(threads);
    return [&problem] {
        auto const& [s, a_elements, b_elements, c_elements, c, a, b] = problem;
        auto const size = [](index_t n) { return static_cast<blasint>(n); };
        if (s.m == 1 && s.transpose_b()) {
            cblas_sgemv(CblasRowMajor, CblasNoTrans, size(s.n), size(s.k), 1.0F, b.data, size(b.stride),
                        a.data, 1, 0.0F, c.data, 1);
            return;
        }
        cblas_sgemm(CblasRowMajor, s.transpose_a() ? CblasTrans : CblasNoTrans,
                    s.transpose_b() ? CblasTrans : CblasNoTrans, size(s.m), size(s.n), size(s.k), 1.0F,
                    a.data, size(a.stride), b.data, size(b.stride), s.add() ? 1.0F : 0.0F, c.data,
                    size(c.stride));
    };
};
#endif

#if defined(DEEPSEEK_HAVE_DNNL)
auto const onednn = [](Problem<float>& problem, int threads) {
    // oneDNN takes its threads from OpenMP, which this program does not otherwise need.
    if (auto* const set = dlsym(RTLD_DEFAULT, "omp_set_num_threads")) {
        reinterpret_cast<void (*)(int)>(set)(threads);
    }
    return [&problem] {
        auto const& p = problem;
        auto const status = dnnl_sgemm(p.s.transpose_a() ? 'T' : 'N', p.s.transpose_b() ? 'T' : 'N', p.s.m,
                                       p.s.n, p.s.k, 1.0F, p.a.data, p.a.stride, p.b.data, p.b.stride,
                                       p.s.add() ? 1.0F : 0.0F, p.c.data, p.c.stride);
        expects(status == dnnl_success, "dnnl_sgemm failed");
    };
};
#endif

template <class W>
void add(std::string const& who, std::string const& type, Shape const& s, int threads, auto const& prepare) {
    auto const name = message("matmul/", who, "/", type, "/", s.kind, "/m:", s.m, "/n:", s.n, "/k:", s.k,
                              "/threads:", threads);
    benchmark::RegisterBenchmark(name.c_str(),
                                 [=](benchmark::State& state) { measure<W>(state, s, threads, prepare); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
}

void add_all(Shape const& s) {
    for (int const threads : {1, 2}) {
        add<float>("cpu", "f32", s, threads, ours);
        if (s.transpose_b()) {
            add<bf16>("cpu", "bf16", s, threads, ours);
        }
#if defined(DEEPSEEK_HAVE_EIGEN)
        add<float>("eigen", "f32", s, threads, eigen);
#endif
#if defined(DEEPSEEK_HAVE_OPENBLAS)
        add<float>("openblas", "f32", s, threads, openblas);
#endif
#if defined(DEEPSEEK_HAVE_DNNL)
        add<float>("onednn", "f32", s, threads, onednn);
#endif
    }
}

// Experts share the tokens unevenly: 2 · 1024 rows over 8 experts. The same work as m:2048 of one expert.
void grouped(benchmark::State& state, std::string const& kind, int threads) {
    constexpr index_t kRows = 2048;
    constexpr index_t kWidth = 512;
    constexpr index_t kExperts = 8;
    constexpr std::int32_t kOffsets[kExperts + 1] = {0, 90, 500, 700, 1080, 1085, 1400, 1790, kRows};
    std::vector<float> x(kRows * kWidth, 0.5F);
    std::vector<float> y(kRows * kWidth, 0.25F);
    std::vector<float> w(kExperts * kWidth * kWidth, 0.125F);
    Strided<float> const x_view{x.data(), kRows, kWidth, kWidth};
    Strided<float> const y_view{y.data(), kRows, kWidth, kWidth};
    Strided<float> const w_view{w.data(), kExperts * kWidth, kWidth, kWidth};
    auto const read = [](Strided<float> view) { return Strided<float const>(view); };
    cpu::Pool pool(threads);
    for (auto _ : state) {
        if (kind == "nt") {
            cpu::grouped_gemm_nt(pool, y_view, read(x_view), read(w_view), kOffsets, kExperts, false);
        } else if (kind == "nn") {
            cpu::grouped_gemm_nn(pool, x_view, read(y_view), read(w_view), kOffsets, kExperts, false);
        } else {
            cpu::grouped_gemm_tn(pool, w_view, read(y_view), read(x_view), kOffsets, kExperts, false);
        }
        benchmark::ClobberMemory();
    }
    auto const flops = static_cast<double>(state.iterations()) * 2 * kRows * kWidth * kWidth;
    state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsRate);
    state.counters["of_peak"] =
        benchmark::Counter(flops / deepseek_benchmarks::peak_flops(threads), benchmark::Counter::kIsRate);
}

// What it costs to hand tasks that do next to nothing to threads that wait.
void hand_off(benchmark::State& state, int threads) {
    cpu::Pool pool(threads);
    std::vector<std::atomic<int>> counts(static_cast<std::size_t>(threads) * 64);
    for (auto _ : state) {
        pool.run(threads, [&](index_t task) {
            counts[static_cast<std::size_t>(task) * 64].fetch_add(1, std::memory_order_relaxed);
        });
    }
}

void register_all() {
    // A linear layer of `in` by `out` weights: forward, gradient of its input, gradient of its weights.
    auto const linear = [](index_t tokens, index_t in, index_t out) {
        add_all({tokens, out, in, "nt"});
        add_all({tokens, in, out, "nn"});
        add_all({out, in, tokens, "tn"});
    };
    linear(1024, 512, 192);   // width 512: compression of the queries
    linear(1024, 192, 768);   // … and back, 8 heads of 64 + 32
    linear(1024, 512, 160);   // of keys and values, 128 + 32
    linear(1024, 128, 1024);  // … and back, 8 heads of 64 + 64
    linear(1024, 512, 512);   // output of attention; an expert
    linear(4096, 512, 512);
    linear(1024, 512, 768);  // shared expert
    linear(1024, 768, 512);
    linear(1024, 512, 8192);  // a part of the vocabulary
    linear(4096, 256, 256);   // width 256, 16 sequences of 256
    linear(4096, 256, 704);
    linear(4096, 704, 256);
    for (index_t const rows : {1, 2, 4, 8, 16, 32}) {  // generating
        add_all({rows, 50'257, 512, "nt"});
        add_all({rows, 512, 512, "nt"});
    }
    for (int const threads : {1, 2}) {
        for (std::string const kind : {"nt", "nn", "tn"}) {
            auto const name =
                message("grouped_matmul/cpu/f32/", kind, "/experts:8/m:2048/n:512/k:512/threads:", threads);
            benchmark::RegisterBenchmark(name.c_str(),
                                         [=](benchmark::State& s) { grouped(s, kind, threads); })
                ->UseRealTime()
                ->Unit(benchmark::kMicrosecond);
        }
        benchmark::RegisterBenchmark(message("pool/hand_off/threads:", threads).c_str(),
                                     [=](benchmark::State& s) { hand_off(s, threads); })
            ->UseRealTime();
    }
}

}  // namespace

int main(int argc, char** argv) {
    register_all();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    for (int const threads : {1, 2}) {
        benchmark::AddCustomContext(message("peak FLOP/s of ", threads, " threads"),
                                    std::to_string(deepseek_benchmarks::peak_flops(threads)));
        benchmark::AddCustomContext(message("bytes read/s by ", threads, " threads"),
                                    std::to_string(deepseek_benchmarks::read_bytes(threads)));
    }
    benchmark::RunSpecifiedBenchmarks();
}
