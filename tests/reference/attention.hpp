// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_REFERENCE_ATTENTION_HPP
#define DEEPSEEK_TESTS_REFERENCE_ATTENTION_HPP

#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <vector>

// Multi-head latent attention as its formulas stand in papers: the whole matrix of probabilities of a head, plain
// loops over doubles.

namespace reference {

using Numbers = std::vector<double>;

struct Attention {
    std::size_t sequences, length_q, length_k, heads, nope, rope, value;
    bool causal;
    double scale;
    /// What a probability is multiplied by: dropout.
    std::function<double(std::size_t sequence, std::size_t head, std::size_t i, std::size_t j)> kept =
        [](std::size_t, std::size_t, std::size_t, std::size_t) { return 1.0; };

    std::size_t q_at(std::size_t s, std::size_t h, std::size_t i) const {
        return ((s * length_q + i) * heads + h) * (nope + rope);
    }
    std::size_t kv_at(std::size_t s, std::size_t h, std::size_t j) const {
        return ((s * length_k + j) * heads + h) * (nope + value);
    }
    std::size_t kr_at(std::size_t s, std::size_t j) const { return (s * length_k + j) * rope; }
    std::size_t out_at(std::size_t s, std::size_t h, std::size_t i) const {
        return ((s * length_q + i) * heads + h) * value;
    }
    /// The first key each query sees, [sequences, length_q]; empty: 0.
    std::vector<std::size_t> first_key{};

    bool visible(std::size_t s, std::size_t i, std::size_t j) const {
        return (!causal || j + length_q <= i + length_k) &&
               (first_key.empty() || j >= first_key[s * length_q + i]);
    }
};

struct AttentionForward {
    Numbers out, lse;
    Numbers probabilities;  ///< [sequences, heads, length_q, length_k], before dropout
};

inline AttentionForward attention(Attention const& a, Numbers const& q, Numbers const& kv,
                                  Numbers const& kr) {
    AttentionForward result{
        Numbers(a.sequences * a.length_q * a.heads * a.value),
        Numbers(a.sequences * a.length_q * a.heads, -std::numeric_limits<double>::infinity()),
        {}};
    for (std::size_t s = 0; s < a.sequences; ++s) {
        for (std::size_t h = 0; h < a.heads; ++h) {
            for (std::size_t i = 0; i < a.length_q; ++i) {
                Numbers scores(a.length_k);
                double top = -std::numeric_limits<double>::infinity();
                for (std::size_t j = 0; j < a.length_k; ++j) {
                    for (std::size_t c = 0; c < a.nope; ++c) {
                        scores[j] += a.scale * q[a.q_at(s, h, i) + c] * kv[a.kv_at(s, h, j) + c];
                    }
                    for (std::size_t c = 0; c < a.rope; ++c) {
                        scores[j] += a.scale * q[a.q_at(s, h, i) + a.nope + c] * kr[a.kr_at(s, j) + c];
                    }
                    if (a.visible(s, i, j)) {
                        top = std::fmax(top, scores[j]);
                    }
                }
                double sum = 0;
                for (std::size_t j = 0; j < a.length_k; ++j) {
                    scores[j] = a.visible(s, i, j) ? std::exp(scores[j] - top) : 0;
                    sum += scores[j];
                }
                if (sum > 0) {
                    result.lse[(s * a.length_q + i) * a.heads + h] = top + std::log(sum);
                }
                for (std::size_t j = 0; j < a.length_k; ++j) {
                    auto const p = sum > 0 ? scores[j] / sum : 0;
                    result.probabilities.push_back(p);
                    for (std::size_t c = 0; c < a.value; ++c) {
                        result.out[a.out_at(s, h, i) + c] +=
                            p * a.kept(s, h, i, j) * kv[a.kv_at(s, h, j) + a.nope + c];
                    }
                }
            }
        }
    }
    return result;
}

struct AttentionGradients {
    Numbers dq, dkv, dkr;
};

/// The chain rule through softmax, dS = P ∘ (dP - rowsum(P ∘ dP)), with no use of the output.
inline AttentionGradients attention_backward(Attention const& a, Numbers const& q, Numbers const& kv,
                                             Numbers const& kr, Numbers const& probabilities,
                                             Numbers const& dout) {
    AttentionGradients g{Numbers(q.size()), Numbers(kv.size()), Numbers(kr.size())};
    for (std::size_t s = 0; s < a.sequences; ++s) {
        for (std::size_t h = 0; h < a.heads; ++h) {
            for (std::size_t i = 0; i < a.length_q; ++i) {
                auto const* const p =
                    probabilities.data() + ((s * a.heads + h) * a.length_q + i) * a.length_k;
                Numbers dp(a.length_k);
                double mean = 0;
                for (std::size_t j = 0; j < a.length_k; ++j) {
                    auto const kept = a.kept(s, h, i, j);
                    for (std::size_t c = 0; c < a.value; ++c) {
                        auto const dvalue = dout[a.out_at(s, h, i) + c];
                        dp[j] += kept * dvalue * kv[a.kv_at(s, h, j) + a.nope + c];
                        g.dkv[a.kv_at(s, h, j) + a.nope + c] += p[j] * kept * dvalue;
                    }
                    mean += p[j] * dp[j];
                }
                for (std::size_t j = 0; j < a.length_k; ++j) {
                    auto const ds = a.scale * p[j] * (dp[j] - mean);
                    for (std::size_t c = 0; c < a.nope; ++c) {
                        g.dq[a.q_at(s, h, i) + c] += ds * kv[a.kv_at(s, h, j) + c];
                        g.dkv[a.kv_at(s, h, j) + c] += ds * q[a.q_at(s, h, i) + c];
                    }
                    for (std::size_t c = 0; c < a.rope; ++c) {
                        g.dq[a.q_at(s, h, i) + a.nope + c] += ds * kr[a.kr_at(s, j) + c];
                        g.dkr[a.kr_at(s, j) + c] += ds * q[a.q_at(s, h, i) + a.nope + c];
                    }
                }
            }
        }
    }
    return g;
}

}  // namespace reference

#endif
