// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_ROWS_ROPE_HPP
#define DEEPSEEK_BACKEND_CPU_ROWS_ROPE_HPP

#include <deepseek/backend/cpu/eigen.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/sin_cos.hpp>
#include <deepseek/ops/arguments/rotation.hpp>

#include <complex>
#include <concepts>
#include <cstdint>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

class Cpu;

namespace cpu::rows {

// Pairs that are turned at once; what is left at the end is turned one by one.
inline constexpr index_t kPairs = 8;
static_assert(Rotation::kMostPairs % kPairs == 0);

// Cosines and sines of the angles of one position, side by side for pairs that are, else in two rows.
template <class S>
struct Turns {
    S cos_sin[2 * Rotation::kMostPairs];

    Turns(Rotation const& r, float position) {
        auto const count = round_up(r.pairs, kPairs);  // whole vectors: frequencies behind the last are 0
        auto const cos_size = r.attention_factor;
        auto const sin_size = r.backward ? -cos_size : cos_size;
        S both[2 * Rotation::kMostPairs];
        auto* const cos = r.step == 2 ? both : cos_sin;
        auto* const sin = cos + Rotation::kMostPairs;
        for (index_t i = 0; i < count; ++i) {
            // A product of floats, as everyone who trains these models computes it: see ops::RotaryTable.
            auto const exact =
                deepseek::detail::sin_cos(static_cast<double>(position * r.inverse_frequency[i]));
            cos[i] = static_cast<S>(exact.cos * cos_size);
            sin[i] = static_cast<S>(exact.sin * sin_size);
        }
        if (r.step == 2) {
            for (index_t i = 0; i < count; ++i) {
                cos_sin[2 * i] = cos[i];
                cos_sin[2 * i + 1] = sin[i];
            }
        }
    }
};

template <class T>
using Pairs =
    Eigen::Map<std::conditional_t<std::is_const_v<T>, Eigen::Array<std::remove_const_t<T>, kPairs, 1> const,
                                  Eigen::Array<T, kPairs, 1>>>;

template <class S>
void turn_pair(S& v, S& w, S cos, S sin) {
    auto const a = v;
    auto const b = w;
    v = a * cos - b * sin;
    w = a * sin + b * cos;
}

// Pairs side by side: as complex numbers, which the standard lets them be seen as.
template <class S>
[[gnu::always_inline]] inline void turn_adjacent(S* v, Rotation const& r, Turns<S> const& turns) {
    auto const whole = r.pairs / kPairs * kPairs;
    auto* const pairs = reinterpret_cast<std::complex<S>*>(v);
    auto const* const by = reinterpret_cast<std::complex<S> const*>(turns.cos_sin);
    for (index_t i = 0; i < whole; i += kPairs) {
        Pairs<std::complex<S>>(pairs + i) *= Pairs<std::complex<S> const>(by + i);
    }
    for (auto i = whole; i < r.pairs; ++i) {
        turn_pair(v[2 * i], v[2 * i + 1], turns.cos_sin[2 * i], turns.cos_sin[2 * i + 1]);
    }
}

// Pairs of an element of v and one of w.
template <class S>
[[gnu::always_inline]] inline void turn_apart(S* v, S* w, Rotation const& r, Turns<S> const& turns) {
    auto const whole = r.pairs / kPairs * kPairs;
    auto const* const cos = turns.cos_sin;
    auto const* const sin = turns.cos_sin + Rotation::kMostPairs;
    for (index_t i = 0; i < whole; i += kPairs) {
        Eigen::Array<S, kPairs, 1> const a = Pairs<S>(v + i);
        Eigen::Array<S, kPairs, 1> const b = Pairs<S>(w + i);
        Pairs<S>(v + i) = a * Pairs<S const>(cos + i) - b * Pairs<S const>(sin + i);
        Pairs<S>(w + i) = a * Pairs<S const>(sin + i) + b * Pairs<S const>(cos + i);
    }
    for (auto i = whole; i < r.pairs; ++i) {
        turn_pair(v[i], w[i], cos[i], sin[i]);
    }
}

template <class S>
void turn_heads(S* v, Rotation const& r, Turns<S> const& turns) {
    if (r.step == 2) {
        for (index_t head = 0; head < r.heads; ++head, v += r.head_stride) {
            turn_adjacent(v, r, turns);
        }
    } else {
        for (index_t head = 0; head < r.heads; ++head, v += r.head_stride) {
            turn_apart(v, v + r.gap, r, turns);
        }
    }
}

// Rows of another type than that of the arithmetic: in a copy.
template <class T, class S>
requires(!std::is_same_v<T, S>) void turn_heads(T* v, Rotation const& r, Turns<S> const& turns) {
    S copy[2 * Rotation::kMostPairs];
    bool const adjacent = r.step == 2;
    for (index_t head = 0; head < r.heads; ++head, v += r.head_stride) {
        auto* const w = v + (adjacent ? r.pairs : r.gap);
        for (index_t i = 0; i < r.pairs; ++i) {
            copy[i] = convert<S>(v[i]);
            copy[r.pairs + i] = convert<S>(w[i]);
        }
        if (adjacent) {
            turn_adjacent(static_cast<S*>(copy), r, turns);
        } else {
            turn_apart(static_cast<S*>(copy), copy + r.pairs, r, turns);
        }
        for (index_t i = 0; i < r.pairs; ++i) {
            v[i] = convert<T>(copy[i]);
            w[i] = convert<T>(copy[r.pairs + i]);
        }
    }
}

}  // namespace cpu::rows

template <std::same_as<Cpu> B, class T>
void compute(ops::Rotate, B& be, Strided<T> x, Rotation const& rotation, std::int32_t const* starts) {
    be.for_each(x.rows, 16 * rotation.pairs + 4 * rotation.heads * rotation.pairs,
                [&, x, starts](index_t row) {
                    auto const& r = rotation;
                    auto const start = starts == nullptr ? 0 : index_t{starts[row]};
                    cpu::rows::Turns<accumulate_t<T>> const turns(
                        r, static_cast<float>(r.first + row % r.length - start));
                    cpu::rows::turn_heads(x.row(row), r, turns);
                });
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
