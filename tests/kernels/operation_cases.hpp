// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_KERNELS_OPERATION_CASES_HPP
#define DEEPSEEK_TESTS_KERNELS_OPERATION_CASES_HPP

#include <deepseek/backend/emulated.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/adamw.hpp>
#include <deepseek/ops/arguments/attention.hpp>
#include <deepseek/ops/attention.hpp>
#include <deepseek/ops/call.hpp>
#include <deepseek/ops/convert.hpp>
#include <deepseek/ops/cross_entropy.hpp>
#include <deepseek/ops/grouped_matmul.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/ops/reduce.hpp>
#include <deepseek/ops/rms_norm.hpp>
#include <deepseek/ops/swiglu.hpp>

#include "support/placed.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

// The operations that a GPU has kernels for, in all shapes on and off the edges of warps, tiles and blocks.

namespace deepseek_tests {

using Loops = ds::Gpu<ds::EmulatedDevice, ds::OperationList<>>;  // every operation as its reference loop

// Without this the tests would compare the reference loops with themselves.
static_assert(ds::Emulated::own::has<ds::ops::Attention> && !Loops::own::has<ds::ops::Attention>);

/// A matrix in a backend's memory whose rows lie apart; what is between them must stay.
template <class B>
class Placed {
public:
    Placed(B& be, index_t rows, index_t cols, std::uint64_t seed, double deviation = 1)
        : rows_(rows), cols_(cols), values_(on(be, random(rows * (cols + kGap), seed, deviation))) {}

    ds::Strided<double> to() { return {values_.data(), rows_, cols_, cols_ + kGap}; }
    ds::Strided<double const> from() { return to(); }
    void append_to(std::vector<double>& results) const {
        auto const all = values_.back();
        results.insert(results.end(), all.begin(), all.end());
    }

    static std::vector<double> random(index_t count, std::uint64_t seed, double deviation) {
        std::vector<double> values;
        ds::RandomKey const key{ds::Seed{seed}};
        for (index_t i = 0; i < count; ++i) {
            values.push_back(deviation * key.normal(static_cast<std::uint64_t>(i)));
        }
        return values;
    }

private:
    static constexpr index_t kGap = 3;

    index_t rows_, cols_;
    PlacedVector<double, B> values_;
};

template <class... P>
std::vector<double> results_of(P const&... placed) {
    std::vector<double> results;
    (placed.append_to(results), ...);
    return results;
}

// Cases: an operation on some shape, run(be) returns all that it wrote. `spare` of its barriers may be missing, because the
// kernel ends behind them.

struct RmsNorm {
    static constexpr int kernels = 1, spare = 0;
    index_t rows = 9, cols = 70;
    template <class B>
    std::vector<double> run(B& be) const {
        Placed y(be, rows, cols, 1), x(be, rows, cols, 2), gain(be, 1, cols, 3), inverse(be, rows, 1, 4);
        ds::ops::call<ds::ops::RmsNorm>(be, y.to(), x.from(), gain.from().data, inverse.to(), 1e-6);
        return results_of(y, inverse);
    }
};

struct RmsNormBackward {
    static constexpr int kernels = 3, spare = 0;
    index_t rows = 9, cols = 70;
    bool add = false;
    template <class B>
    std::vector<double> run(B& be) const {
        Placed dx(be, rows, cols, 1), dgain(be, 1, cols, 2), dy(be, rows, cols, 3), x(be, rows, cols, 4),
            gain(be, 1, cols, 5), inverse(be, rows, 1, 6);
        ds::ops::call<ds::ops::RmsNormBackward>(be, dx.to(), dgain.to().data, dy.from(), x.from(),
                                                gain.from().data, inverse.from(), add);
        return results_of(dx, dgain);
    }
};

// Targets from first to last, some of them ignored.
inline std::vector<ds::Token> targets(index_t rows, index_t vocabulary) {
    std::vector<ds::Token> all;
    for (index_t row = 0; row < rows; ++row) {
        all.push_back(static_cast<ds::Token>(
            row % 4 == 3 ? -1 : row * (vocabulary - 1) / std::max<index_t>(1, rows - 1)));
    }
    return all;
}

struct CrossEntropy {
    static constexpr int kernels = 1, spare = 0;
    index_t rows = 6, cols = 700;
    double deviation = 1;
    template <class B>
    std::vector<double> run(B& be) const {
        Placed logits(be, rows, cols, 1, deviation), loss(be, rows, 1, 2);
        auto const placed = on(be, targets(rows, cols));
        ds::ops::call<ds::ops::CrossEntropy>(be, logits.to(), placed.data(), loss.to(), 0.25);
        return results_of(logits, loss);
    }
};

struct CrossEntropyLoss {
    static constexpr int kernels = 1, spare = 0;
    index_t rows = 6, cols = 700;
    double deviation = 1;
    template <class B>
    std::vector<double> run(B& be) const {
        Placed logits(be, rows, cols, 1, deviation), loss(be, rows, 1, 2);
        auto const placed = on(be, targets(rows, cols));
        ds::ops::call<ds::ops::CrossEntropyLoss>(be, logits.from(), placed.data(), loss.to());
        return results_of(logits, loss);
    }
};

struct Matmul {
    static constexpr int kernels = 1, spare = 0;
    index_t rows = 33, cols = 65, depth = 40;
    bool transpose_a = false, transpose_b = true, add = true;
    template <class B>
    std::vector<double> run(B& be) const {
        Placed out(be, rows, cols, 1);
        Placed a(be, transpose_a ? depth : rows, transpose_a ? rows : depth, 2);
        Placed b(be, transpose_b ? cols : depth, transpose_b ? depth : cols, 3);
        ds::ops::call<ds::ops::Matmul>(be, out.to(), a.from(), transpose_a, b.from(), transpose_b, add);
        return results_of(out);
    }
};

template <class Op>
struct Grouped {
    static constexpr int kernels = 1, spare = 0;
    std::vector<std::int32_t> offsets{0, 33, 33, 34, 70};
    index_t in = 40, out = 65;
    bool add = true;
    template <class B>
    std::vector<double> run(B& be) const {
        auto const groups = static_cast<index_t>(offsets.size()) - 1;
        auto const rows = index_t{offsets.back()};
        auto const placed = on(be, offsets);
        Placed x(be, rows, in, 1), y(be, rows, out, 2), w(be, groups * out, in, 3);
        if constexpr (std::is_same_v<Op, ds::ops::GroupedMatmulNt>) {
            ds::ops::call<Op>(be, y.to(), x.from(), w.from(), placed.data(), groups, add);
        } else if constexpr (std::is_same_v<Op, ds::ops::GroupedMatmulNn>) {
            ds::ops::call<Op>(be, x.to(), y.from(), w.from(), placed.data(), groups, add);
        } else {
            ds::ops::call<Op>(be, w.to(), y.from(), x.from(), placed.data(), groups, add);
        }
        return results_of(x, y, w);
    }
};

struct Attention {
    static constexpr int kernels = 1, spare = 1;  // the last key tile's last
    ds::AttentionShape shape{};
    std::vector<std::int32_t> first_key{};

    Attention() : Attention(40, 64, 2) {}
    Attention(index_t queries, index_t keys, index_t sequences, ds::AttentionOptions options = {}) {
        options.sequences = sequences;
        options.scale = 0.4;
        shape = {options, queries, keys, 2, 17, 3, 66};
    }
    template <class B>
    struct Memory {
        Placed<B> out, lse, q, kv, kr;
        PlacedVector<std::int32_t, B> first_key;
        Memory(B& be, Attention const& c)
            : out(be, c.queries(), c.shape.heads * c.shape.value, 1),
              lse(be, c.queries(), c.shape.heads, 2),
              q(be, c.queries(), c.shape.heads * c.shape.key_width(), 3),
              kv(be, c.keys(), c.shape.heads * (c.shape.nope + c.shape.value), 4),
              kr(be, c.keys(), c.shape.rope, 5),
              first_key(be, c.first_key) {}
    };
    index_t queries() const { return shape.sequences * shape.length_q; }
    index_t keys() const { return shape.sequences * shape.length_k; }

    template <class B>
    ds::AttentionShape forward(B& be, Memory<B>& m) const {
        auto placed = shape;
        placed.first_key = first_key.empty() ? nullptr : m.first_key.data();
        ds::ops::call<ds::ops::Attention>(be, m.out.to(), m.lse.to(), m.q.from(), m.kv.from(), m.kr.from(),
                                          placed);
        return placed;
    }
    template <class B>
    std::vector<double> run(B& be) const {
        Memory<B> m(be, *this);
        forward(be, m);
        return results_of(m.out, m.lse);
    }
};

struct AttentionBackward : Attention {
    static constexpr int kernels = 5, spare = 2;  // the last tile's last, of both gradients
    using Attention::Attention;
    template <class B>
    std::vector<double> run(B& be) const {
        Memory<B> m(be, *this);
        auto const placed = forward(be, m);
        Placed dq(be, queries(), m.q.from().cols, 6), dkv(be, keys(), m.kv.from().cols, 7),
            dkr(be, keys(), m.kr.from().cols, 8), dout(be, queries(), m.out.from().cols, 9);
        ds::ops::call<ds::ops::AttentionBackward>(be, dq.to(), dkv.to(), dkr.to(), dout.from(), m.out.from(),
                                                  m.lse.from(), m.q.from(), m.kv.from(), m.kr.from(), placed);
        return results_of(dq, dkv, dkr);
    }
};

struct SwiGLU {
    static constexpr int kernels = 2, spare = 0;
    index_t rows = 3, cols = 130;
    bool with_act = true;
    template <class B>
    std::vector<double> run(B& be) const {
        Placed act(be, rows, cols, 1), gate(be, rows, cols, 2, 3), up(be, rows, cols, 3),
            dact(be, rows, cols, 4), again(be, rows, cols, 5);
        ds::ops::call<ds::ops::SwiGLU>(be, act.to(), gate.from(), up.from());
        ds::ops::call<ds::ops::SwiGLUBackward>(be, gate.to(), up.to(),
                                               with_act ? again.to() : ds::Strided<double>{}, dact.from(),
                                               gate.from(), up.from());
        return results_of(act, gate, up, again);
    }
};

struct Set {
    static constexpr int kernels = 5, spare = 0;
    std::vector<index_t> sizes{10, 8192, 8193, 1, 300};
    template <class B>
    std::vector<double> run(B& be) const {
        std::vector<ds::Segment> table;
        ds::Segments segments;
        index_t end = 0;
        for (auto const size : sizes) {  // with gaps between them, and every second decays
            table.push_back({end + 5, size, segments.blocks, segments.elements, table.size() % 2 == 0});
            segments.blocks += table.back().blocks();
            segments.elements += size;
            end += size + 5;
        }
        segments.count = static_cast<index_t>(table.size());
        auto const placed = on(be, table);
        segments.data = placed.data();
        Placed weights(be, 1, end, 1), gradients(be, 1, end, 2), first(be, 1, end, 3),
            second(be, 1, end, 4, 0), converted(be, 1, end, 5), total(be, 1, 1, 6), values(be, 1000, 1, 7);
        ds::ops::call<ds::ops::AdamW>(
            be, weights.to().data, gradients.from().data, first.to().data, second.to().data, segments,
            ds::ops::AdamWConstants<double>{0.99, 0.01, 0.9, 0.95, 0.1, 0.05, 1.2, 1e-8, 0.5});
        ds::ops::call<ds::ops::SumOfSquares>(be, total.to().data, gradients.from().data, segments);
        ds::ops::call<ds::ops::AddSum>(be, total.to().data, values.from(), 0.25);
        ds::ops::call<ds::ops::ConvertSet>(be, converted.to().data, segments, weights.from().data, segments);
        return results_of(weights, first, second, converted, total);
    }
};

/// Largest difference, relative to the larger of 1 and the largest expected magnitude; NaN where only one is NaN.
inline double difference(std::vector<double> const& given, std::vector<double> const& expected) {
    if (given.size() != expected.size()) {
        return std::numeric_limits<double>::infinity();
    }
    double largest = 1;
    double worst = 0;
    for (auto const value : expected) {
        largest = std::isfinite(value) ? std::max(largest, std::abs(value)) : largest;
    }
    for (std::size_t i = 0; i < given.size(); ++i) {
        bool const alike = given[i] == expected[i] || (std::isnan(given[i]) && std::isnan(expected[i]));
        auto const error = alike ? 0 : std::abs(given[i] - expected[i]) / largest;
        worst = error <= worst || std::isnan(worst) ? worst : error;
    }
    return worst;
}

inline constexpr double kBound =
    1e-12;  // sums of at most a few hundred products of about one, in another order

template <class Case>
std::vector<double> expected_of(Case const& c) {
    Loops be;
    return c.run(be);
}

// What calls check(case) for every shape.

template <class F>
void rms_norm_cases(F const& check) {
    for (index_t const rows : {1, 4, 5, 300}) {
        for (index_t const cols : {1, 31, 32, 33, 96}) {
            check(RmsNorm{rows, cols});
            check(RmsNormBackward{rows, cols, false});
            check(RmsNormBackward{rows, cols, true});
        }
    }
}

template <class F>
void cross_entropy_cases(F const& check) {
    for (index_t const cols : {1, 37, 256, 257, 1030}) {
        check(CrossEntropy{.cols = cols});
        check(CrossEntropyLoss{.cols = cols});
    }
}

template <class F>
void matmul_cases(F const& check) {
    for (bool const transpose_a : {false, true}) {
        for (bool const transpose_b : {false, true}) {
            check(Matmul{1, 1, 1, transpose_a, transpose_b, false});
            check(Matmul{32, 64, 16, transpose_a, transpose_b, true});
            check(Matmul{33, 65, 17, transpose_a, transpose_b, false});
            check(Matmul{70, 130, 50, transpose_a, transpose_b, true});
        }
    }
}

template <class Op, class F>
void grouped_cases(F const& check) {
    for (auto const& offsets : std::vector<std::vector<std::int32_t>>{
             {0, 1}, {0, 0, 0, 5, 5}, {0, 32, 64}, {0, 33, 33, 34, 70}, {0, 1, 2, 3, 4, 5, 6, 7, 40}}) {
        for (bool const add : {false, true}) {
            check(Grouped<Op>{offsets, 40, 65, add});
            check(Grouped<Op>{offsets, 7, 3, add});
        }
    }
}

template <class F>
void attention_cases(F const& check) {
    ds::Dropout const dropout{0.3, ds::RandomKey{ds::Seed{5}}};
    for (auto const& [queries, keys] : std::vector<std::pair<index_t, index_t>>{
             {1, 1}, {32, 32}, {33, 33}, {40, 40}, {1, 70}, {37, 100}, {40, 5}}) {
        for (bool const causal : {true, false}) {
            check(AttentionBackward(queries, keys, 2, {.causal = causal}));
            check(AttentionBackward(queries, keys, 1, {.causal = causal, .dropout = dropout}));
        }
    }
    AttentionBackward documents(70, 70, 1, {.dropout = dropout});
    for (std::int32_t i = 0; i < 70; ++i) {
        documents.first_key.push_back(i < 5 ? 0 : i < 6 ? 5 : i < 39 ? 6 : 39);
    }
    check(documents);
}

template <class F>
void set_cases(F const& check) {
    for (index_t const cols : {1, 127, 128, 129}) {
        check(SwiGLU{2, cols, true});
        check(SwiGLU{2, cols, false});
    }
    check(Set{});
    check(Set{{1}});
}

}  // namespace deepseek_tests

#endif
