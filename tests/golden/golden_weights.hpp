// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_GOLDEN_GOLDEN_WEIGHTS_HPP
#define DEEPSEEK_TESTS_GOLDEN_GOLDEN_WEIGHTS_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Weights and inputs of the golden tests as a formula: the twin of generator.py. Every value is an integer
// times a power of two with at most 24 significant bits, so float, double and Python agree exactly.

namespace deepseek_tests {

using deepseek::index_t;

constexpr std::uint64_t fnv1a64(std::string_view text) {
    std::uint64_t state = 0xCBF2'9CE4'8422'2325U;
    for (char const letter : text) {
        state = (state ^ static_cast<unsigned char>(letter)) * 0x100'0000'01B3U;
    }
    return state;
}

/// Output number i (from 0) of SplitMix64 seeded with `seed`.
constexpr std::uint64_t golden_word(std::uint64_t seed, index_t i) {
    auto z = seed + (static_cast<std::uint64_t>(i) + 1) * 0x9E37'79B9'7F4A'7C15U;
    z = (z ^ (z >> 30U)) * 0xBF58'476D'1CE4'E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D0'49BB'1331'11EBU;
    return z ^ (z >> 31U);
}

/// The numbers that belong to one key. Cheap to make: it is the hash of the key.
class GoldenStream {
public:
    constexpr explicit GoldenStream(std::string_view key) : seed_(fnv1a64(key)) {}

    /// Entries of matrices and of linear biases: deviation 0.298.
    constexpr double linear(index_t i) const { return bell(i) * (33 * 0x1p-22); }
    /// Norm gains: mean 1, deviation 0.198.
    constexpr double gain(index_t i) const { return 1.0 + bell(i) * (11 * 0x1p-21); }
    /// Router biases: deviation 0.099.
    constexpr double router_bias(index_t i, double mean) const { return mean + bell(i) * (11 * 0x1p-22); }
    /// Activations and their gradients: deviation 1.01.
    constexpr double unit(index_t i) const { return bell(i) * (7 * 0x1p-18); }
    /// Weights of a projection: either sign, magnitude in [0.5, 1).
    constexpr double probe(index_t i) const {
        auto const word = golden_word(seed_, i);
        auto const magnitude = static_cast<double>(128U + ((word >> 32U) & 0x7FU)) / 256;
        return word >> 63U != 0 ? -magnitude : magnitude;
    }

private:
    // The four 16-bit fields of a word added and centred: an integer in [-131070, 131070], deviation 37837.
    constexpr double bell(index_t i) const {
        auto const word = golden_word(seed_, i);
        index_t sum = 0;
        for (unsigned shift = 0; shift < 64; shift += 16) {
            sum += static_cast<index_t>((word >> shift) & 0xFFFFU);
        }
        return static_cast<double>(sum - 131070);
    }

    std::uint64_t seed_;
};

static_assert(fnv1a64("") == 0xCBF2'9CE4'8422'2325U && fnv1a64("a") == 0xAF63'DC4C'8601'EC8CU);

/// Fills the tensor that Hugging Face files call `name`. The name's suffix decides between matrix, gain and
/// router bias; bias_set 0 (mean 0) or 1 (mean -77/128) selects among the two sets of router biases.
template <class T>
void fill_golden(std::string_view name, std::span<T> values, int bias_set = 0) {
    bool const bias = name.ends_with("e_score_correction_bias");
    GoldenStream const stream(bias ? std::string(name) + '#' + std::to_string(bias_set) : std::string(name));
    for (std::size_t k = 0; k < values.size(); ++k) {
        auto const i = static_cast<index_t>(k);
        values[k] = deepseek::convert<T>(bias ? stream.router_bias(i, bias_set == 0 ? 0.0 : -77.0 / 128)
                                         : name.ends_with("norm.weight") ? stream.gain(i)
                                                                         : stream.linear(i));
    }
}

/// Activations, or gradients of activations, of the layer fixtures: the first `count` values of `key`.
template <class T>
std::vector<T> golden_unit(std::string_view key, index_t count) {
    GoldenStream const stream(key);
    std::vector<T> values(static_cast<std::size_t>(count));
    for (index_t i = 0; i < count; ++i) {
        values[static_cast<std::size_t>(i)] = deepseek::convert<T>(stream.unit(i));
    }
    return values;
}

/// A matrix G [rows, cols] in rows + cols + 1 numbers: G u, then vᵀ G, then the Frobenius norm, where u and v
/// are the streams "probe.columns" and "probe.rows". An error in any entry changes one number of each of the
/// first two parts by at least half its size.
template <class T>
std::vector<double> golden_sketch(T const* matrix, index_t rows, index_t cols) {
    GoldenStream const u("probe.columns");
    GoldenStream const v("probe.rows");
    std::vector<double> sketch(static_cast<std::size_t>(rows + cols + 1));
    double squares = 0;
    for (index_t i = 0; i < rows; ++i) {
        for (index_t j = 0; j < cols; ++j) {
            auto const entry = deepseek::convert<double>(matrix[i * cols + j]);
            sketch[static_cast<std::size_t>(i)] += entry * u.probe(j);
            sketch[static_cast<std::size_t>(rows + j)] += entry * v.probe(i);
            squares += entry * entry;
        }
    }
    sketch.back() = std::sqrt(squares);
    return sketch;
}

}  // namespace deepseek_tests

#endif
