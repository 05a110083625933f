// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_REFERENCE_LATENT_ATTENTION_HPP
#define DEEPSEEK_TESTS_REFERENCE_LATENT_ATTENTION_HPP

#include <cmath>
#include <cstddef>
#include <vector>

// The absorbed form of multi-head latent attention as its formulas stand in papers: plain loops over doubles.

namespace reference {

using Numbers = std::vector<double>;

struct Latent {
    std::size_t tokens, positions, heads, rank, nope, rope, value;
    double scale;
};

/// [tokens, heads, rank]: a head's query without position, times its rows of kv_up that make keys.
inline Numbers absorb_query(Latent const& a, Numbers const& q, Numbers const& kv_up) {
    Numbers result(a.tokens * a.heads * a.rank);
    for (std::size_t t = 0; t < a.tokens; ++t) {
        for (std::size_t h = 0; h < a.heads; ++h) {
            for (std::size_t r = 0; r < a.rank; ++r) {
                for (std::size_t n = 0; n < a.nope; ++n) {
                    result[(t * a.heads + h) * a.rank + r] +=
                        q[(t * a.heads + h) * (a.nope + a.rope) + n] *
                        kv_up[(h * (a.nope + a.value) + n) * a.rank + r];
                }
            }
        }
    }
    return result;
}

/// [tokens, heads, value]: a head's rows of kv_up that make values, times its averaged latent.
inline Numbers expand_values(Latent const& a, Numbers const& context, Numbers const& kv_up) {
    Numbers result(a.tokens * a.heads * a.value);
    for (std::size_t t = 0; t < a.tokens; ++t) {
        for (std::size_t h = 0; h < a.heads; ++h) {
            for (std::size_t v = 0; v < a.value; ++v) {
                for (std::size_t r = 0; r < a.rank; ++r) {
                    result[(t * a.heads + h) * a.value + v] +=
                        kv_up[(h * (a.nope + a.value) + a.nope + v) * a.rank + r] *
                        context[(t * a.heads + h) * a.rank + r];
                }
            }
        }
    }
    return result;
}

/// [tokens, heads, rank]
inline Numbers latent_attention(Latent const& a, Numbers const& q_latent, Numbers const& q,
                                Numbers const& latent, Numbers const& key) {
    Numbers result(a.tokens * a.heads * a.rank);
    for (std::size_t t = 0; t < a.tokens; ++t) {
        for (std::size_t h = 0; h < a.heads; ++h) {
            auto const query = t * a.heads + h;
            auto const visible = a.positions - a.tokens + t + 1;
            Numbers weights(visible);
            double top = -INFINITY;
            for (std::size_t j = 0; j < visible; ++j) {
                for (std::size_t r = 0; r < a.rank; ++r) {
                    weights[j] += a.scale * q_latent[query * a.rank + r] * latent[j * a.rank + r];
                }
                for (std::size_t r = 0; r < a.rope; ++r) {
                    weights[j] += a.scale * q[query * (a.nope + a.rope) + a.nope + r] * key[j * a.rope + r];
                }
                top = std::fmax(top, weights[j]);
            }
            double sum = 0;
            for (auto& weight : weights) {
                weight = std::exp(weight - top);
                sum += weight;
            }
            for (std::size_t j = 0; j < visible; ++j) {
                for (std::size_t r = 0; r < a.rank; ++r) {
                    result[query * a.rank + r] += weights[j] / sum * latent[j * a.rank + r];
                }
            }
        }
    }
    return result;
}

}  // namespace reference

#endif
