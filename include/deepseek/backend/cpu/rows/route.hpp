// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_ROUTE_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_ROUTE_HPP

#include <deepseek/backend/cpu/rows/sweep.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/routing.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

// Of x[0 .. count) the k largest, the largest first, ties by index and NaN last: in one pass over x.
template <class T>
void find_largest(std::int32_t* best, index_t k, T const* x, index_t count) {
    auto const value_at = [=](index_t i) { return convert<accumulate_t<T>>(x[i]); };
    auto const above = [](auto a, auto b) { return a > b || (b != b && a == a); };
    for (index_t i = 0; i < count; ++i) {
        auto const value = value_at(i);
        auto place = std::min(i, k - 1);
        if (i >= k && !above(value, value_at(best[place]))) {
            continue;
        }
        for (; place > 0 && above(value, value_at(best[place - 1])); --place) {
            best[place] = best[place - 1];
        }
        best[place] = static_cast<std::int32_t>(i);
    }
}

// The affinities of one token from its logits. `work` [count] is memory for it.
template <class T, class S>
void affinities(T* s, index_t count, Scoring scoring, S* work) {
    if (scoring == Scoring::sigmoid) {
        sweep(
            count, S{0}, [](auto v) { v = (S{1} + (-v).exp()).inverse(); }, s);
        return;
    }
    auto const top = largest(static_cast<T const*>(s), count);
    Sum<S> sum;
    sweep(
        count, -std::numeric_limits<S>::infinity(),
        [&](auto to, auto const& v) {
            to = (v - top).exp();
            sum += to;
        },
        work, static_cast<T const*>(s));
    auto const inverse = 1 / sum.total();
    sweep(
        count, S{0}, [=](auto to, auto const& v) { to = v * inverse; }, s, static_cast<S const*>(work));
}

// Takes the experts of all but the best groups out of the choice. `score` [groups] is memory for it.
template <class S>
void drop_groups(S* z, index_t experts, Routing const& routing, S* score) {
    constexpr auto kLeast = -std::numeric_limits<S>::infinity();
    auto const groups = index_t{routing.groups};
    auto const size = experts / groups;
    for (index_t g = 0; g < groups; ++g) {
        S first = kLeast;
        S second = kLeast;
        for (index_t e = g * size; e < (g + 1) * size; ++e) {
            if (z[e] > first) {
                second = first;
                first = z[e];
            } else if (z[e] > second) {
                second = z[e];
            }
        }
        score[g] = routing.scoring == Scoring::softmax ? first : first + second;
    }
    for (index_t g = 0; g < groups; ++g) {
        int better = 0;
        for (index_t other = 0; other < groups; ++other) {
            better += score[other] > score[g] || (score[other] == score[g] && other < g);
        }
        if (better >= routing.groups_kept) {
            std::fill_n(z + g * size, size, routing.zero_mask ? S{0} : kLeast);
        }
    }
}

}  // namespace cpu::rows

template <std::same_as<Cpu> B, class T>
void compute(ops::Route, B& be, Strided<T> logits, accumulate_t<T> const* bias, Strided<std::int32_t> chosen,
             Strided<T> gates, Routing const& routing) {
    using S = accumulate_t<T>;
    auto const experts = logits.cols;
    auto const top_k = chosen.cols;
    auto const width = experts + routing.groups;
    auto const scope = be.scratch().scope();
    auto* const memory = be.scratch().template take<S>(checked_mul(logits.rows, width));  // [tokens, width]
    be.for_each(logits.rows, experts * 8, [=](index_t row) {
        auto* const s = logits.row(row);
        auto* const z = memory + row * width;  // what is looked at to choose
        cpu::rows::affinities(s, experts, routing.scoring, z);
        if (bias == nullptr) {
            cpu::rows::sweep(
                experts, S{0}, [](auto to, auto const& v) { to = v; }, z, static_cast<T const*>(s));
        } else {
            cpu::rows::sweep(
                experts, S{0}, [](auto to, auto const& v, auto const& b) { to = v + b; }, z,
                static_cast<T const*>(s), bias);
        }
        if (routing.groups > 1) {
            cpu::rows::drop_groups(z, experts, routing, z + experts);
        }
        auto* const id = chosen.row(row);
        cpu::rows::find_largest(id, top_k, z, experts);
        std::sort(id, id + top_k);
        S sum = 0;
        for (index_t k = 0; k < top_k; ++k) {
            sum += convert<S>(s[id[k]]);
        }
        auto const factor = routing.gate_factor(sum);
        for (index_t k = 0; k < top_k; ++k) {
            gates.row(row)[k] = convert<T>(convert<S>(s[id[k]]) * factor);
        }
    });
}

template <std::same_as<Cpu> B, class T>
void compute(ops::BalanceLoss, B& be, Strided<accumulate_t<T>> load, Strided<accumulate_t<T>> loss,
             Strided<T const> scores, Token const* targets, double const* weights, index_t top_k) {
    using S = accumulate_t<T>;
    auto const experts = scores.cols;
    auto const length = scores.rows / load.rows;
    auto const scope = be.scratch().scope();
    auto* const means = be.scratch().template take<S>(checked_mul(load.rows, experts));
    auto* const best = be.scratch().template take<std::int32_t>(checked_mul(load.rows, top_k));
    be.for_each(load.rows, length * experts * 4, [=](index_t sequence) {
        auto* const f = load.row(sequence);
        auto* const mean = means + sequence * experts;  // of the normalised affinities, times the tokens
        auto* const id = best + sequence * top_k;
        std::fill_n(f, experts, S{0});
        std::fill_n(mean, experts, S{0});
        index_t tokens = 0;
        for (auto t = sequence * length; t < (sequence + 1) * length; ++t) {
            if (targets != nullptr && targets[t] < 0) {
                continue;
            }
            ++tokens;
            auto const* const s = scores.row(t);
            cpu::rows::find_largest(id, top_k, s, experts);
            for (index_t k = 0; k < top_k; ++k) {
                f[id[k]] += 1;
            }
            cpu::rows::Sum<S> sum;
            cpu::rows::sweep(
                experts, S{0}, [&](auto const& v) { sum += v; }, s);
            auto const inverse = 1 / sum.total();
            cpu::rows::sweep(
                experts, S{0}, [=](auto to, auto const& v) { to += v * inverse; }, mean, s);
        }
        S total = 0;
        if (tokens > 0) {
            auto const weight = weights == nullptr ? 1 / static_cast<double>(load.rows) : weights[sequence];
            auto const scale = static_cast<S>(weight) * static_cast<S>(experts) /
                               static_cast<S>(top_k * tokens) / static_cast<S>(tokens);
            for (index_t e = 0; e < experts; ++e) {
                f[e] *= scale;
                total += f[e] * mean[e];
            }
        }
        loss.row(sequence)[0] = total;
    });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
